/** Everything that is read from the environment, read once by `main`, and nowhere else. */
export interface Environment {
  readonly repository: string | undefined
  readonly repositoryFile: string | undefined
  readonly password: PasswordVariables
  readonly fromRepository: string | undefined
  readonly fromRepositoryFile: string | undefined
  readonly fromPassword: PasswordVariables
  readonly cacheDirectory: string | undefined
  readonly home: string | undefined
  readonly host: string | undefined
  readonly compression: string | undefined
  readonly packSize: string | undefined
  readonly readConcurrency: string | undefined
  readonly progressPerSecond: string | undefined
  readonly colour: boolean
  readonly debug: boolean
  /** All of them, for `$NAME` in pattern files. */
  readonly variables: Readonly<Record<string, string | undefined>>
}

export interface PasswordVariables {
  readonly value: string | undefined
  readonly file: string | undefined
  readonly command: string | undefined
  /** The name of the variable in use, for messages. */
  readonly prefix: string
}

/**
 * Reads the environment. Each HOLDFAST_ variable falls back to restic's of the same name, so that a
 * script written for restic keeps its exports. The three password variables fall back together: one
 * HOLDFAST_ password variable puts all of restic's out of play. The cache is our own and does not.
 */
export function readEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const own = (name: string): string | undefined => nonEmpty(variables[`HOLDFAST_${name}`])
  const either = (name: string): string | undefined => own(name) ?? nonEmpty(variables[`RESTIC_${name}`])
  return {
    repository: either('REPOSITORY'),
    repositoryFile: either('REPOSITORY_FILE'),
    password: readPassword(variables, 'PASSWORD'),
    fromRepository: either('FROM_REPOSITORY'),
    fromRepositoryFile: either('FROM_REPOSITORY_FILE'),
    fromPassword: readPassword(variables, 'FROM_PASSWORD'),
    cacheDirectory: own('CACHE_DIR') ?? under(nonEmpty(variables.XDG_CACHE_HOME), 'holdfast'),
    home: nonEmpty(variables.HOME),
    host: either('HOST'),
    compression: either('COMPRESSION'),
    packSize: either('PACK_SIZE'),
    readConcurrency: either('READ_CONCURRENCY'),
    progressPerSecond: either('PROGRESS_FPS'),
    colour: nonEmpty(variables.NO_COLOR) === undefined && variables.TERM !== 'dumb',
    debug: own('DEBUG') === '1',
    variables,
  }
}

function readPassword(
  variables: Readonly<Record<string, string | undefined>>,
  stem: string,
): PasswordVariables {
  const family = (prefix: string): PasswordVariables => ({
    value: nonEmpty(variables[`${prefix}_${stem}`]),
    file: nonEmpty(variables[`${prefix}_${stem}_FILE`]),
    command: nonEmpty(variables[`${prefix}_${stem}_COMMAND`]),
    prefix: `${prefix}_${stem}`,
  })
  const own = family('HOLDFAST')
  return own.value === undefined && own.file === undefined && own.command === undefined
    ? family('RESTIC')
    : own
}

function under(directory: string | undefined, name: string): string | undefined {
  return directory === undefined ? undefined : `${directory}/${name}`
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}

/** The environment section of the help. */
export const environmentHelp = `
Environment:
  HOLDFAST_REPOSITORY          where the repository is (--repo)
  HOLDFAST_REPOSITORY_FILE     a file that says where it is (--repository-file)
  HOLDFAST_PASSWORD            the password itself
  HOLDFAST_PASSWORD_FILE       a file that holds it (--password-file)
  HOLDFAST_PASSWORD_COMMAND    a command that prints it (--password-command)
  HOLDFAST_FROM_...            the same five for the source of copy and init
  HOLDFAST_HOST, HOLDFAST_COMPRESSION, HOLDFAST_PACK_SIZE, HOLDFAST_READ_CONCURRENCY,
  HOLDFAST_PROGRESS_FPS        defaults of the options of these names
  HOLDFAST_CACHE_DIR           where the local cache is (--cache-dir)
  HOLDFAST_DEBUG=1             print stack traces with errors
  NO_COLOR                     no colours

  For each of these but the last three restic's variable of the same name (RESTIC_REPOSITORY,
  RESTIC_PASSWORD, ...) is read when Holdfast's is not set. S3 credentials come from where the
  AWS SDK looks: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE and ~/.aws, a web
  identity token, or the instance's role.`
