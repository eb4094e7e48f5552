import { Command } from 'commander'
import type { Cli } from './cli.ts'
import { backupVerb } from './commands/archive/backup.ts'
import { catVerb } from './commands/archive/cat.ts'
import { checkVerb } from './commands/archive/check.ts'
import { copyVerb } from './commands/archive/copy.ts'
import { diffVerb } from './commands/archive/diff.ts'
import { dumpVerb } from './commands/archive/dump.ts'
import { findVerb } from './commands/archive/find.ts'
import { forgetVerb } from './commands/archive/forget.ts'
import { initVerb } from './commands/archive/init.ts'
import { keyAddVerb } from './commands/archive/key/key-add.ts'
import { keyListVerb } from './commands/archive/key/key-list.ts'
import { keyPasswdVerb } from './commands/archive/key/key-passwd.ts'
import { keyRemoveVerb } from './commands/archive/key/key-remove.ts'
import { listVerb } from './commands/archive/list.ts'
import { lsVerb } from './commands/archive/ls.ts'
import { pruneVerb } from './commands/archive/prune.ts'
import { repairIndexVerb } from './commands/archive/repair/repair-index.ts'
import { repairPacksVerb } from './commands/archive/repair/repair-packs.ts'
import { repairSnapshotsVerb } from './commands/archive/repair/repair-snapshots.ts'
import { addRepositoryFlags } from './commands/archive/repository-flags.ts'
import { restoreVerb } from './commands/archive/restore.ts'
import { snapshotsVerb } from './commands/archive/snapshots.ts'
import { statsVerb } from './commands/archive/stats.ts'
import { tagVerb } from './commands/archive/tag.ts'
import { unlockVerb } from './commands/archive/unlock.ts'
import { mountVerb } from './commands/verb.ts'
import { environmentHelp } from './environment.ts'
import type { ExitStatus } from './exit-codes.ts'

/** Every command there is. `onDone` gets the exit status of the one that ran. */
export function buildProgram(cli: Cli, onDone: (status: ExitStatus) => void): Command {
  const program = new Command('holdfast')
    .description('Backups that restore, certificates that rotate, and what scan results mean for both.')
    .version(cli.version, '-V, --version', 'print the version')
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({
      helpWidth: cli.screen.outputWidth() ?? 100,
      subcommandTerm: (command) => command.name(),
    })
    .configureOutput({
      writeOut: (text) => cli.screen.print(text.trimEnd()),
      // What commander would say about a mistake is said once, in `run`; its help for a bare group is wanted.
      writeErr: (text) => cli.screen.warn(text.trimEnd()),
      outputError: () => undefined,
    })
  const archive = program
    .command('archive')
    .summary('back up and restore files, in repositories that restic reads')
    .description(
      'Backs up files into encrypted, deduplicated repositories in the format of restic, and restores them. A repository written here can be read by restic, and the other way round.',
    )
    .enablePositionalOptions()
  addRepositoryFlags(archive)
  // They may stand before the verb too; the help of each verb lists them.
  for (const option of archive.options) option.hideHelp()
  archive.addHelpText('after', "\nRun 'holdfast archive <verb> --help' for the flags of a verb.")
  archive.addHelpText('after', environmentHelp)
  archive.commandsGroup('Verbs:')
  const context = { cli, onDone }
  mountVerb(archive, initVerb, context)
  mountVerb(archive, backupVerb, context)
  mountVerb(archive, restoreVerb, context)
  mountVerb(archive, snapshotsVerb, context)
  mountVerb(archive, lsVerb, context)
  mountVerb(archive, dumpVerb, context)
  mountVerb(archive, findVerb, context)
  mountVerb(archive, diffVerb, context)
  mountVerb(archive, statsVerb, context)
  mountVerb(archive, checkVerb, context)
  mountVerb(archive, forgetVerb, context)
  mountVerb(archive, pruneVerb, context)
  mountVerb(archive, keyListVerb, context)
  mountVerb(archive, keyAddVerb, context)
  mountVerb(archive, keyRemoveVerb, context)
  mountVerb(archive, keyPasswdVerb, context)
  mountVerb(archive, copyVerb, context)
  mountVerb(archive, tagVerb, context)
  mountVerb(archive, unlockVerb, context)
  mountVerb(archive, repairIndexVerb, context)
  mountVerb(archive, repairPacksVerb, context)
  mountVerb(archive, repairSnapshotsVerb, context)
  mountVerb(archive, catVerb, context)
  mountVerb(archive, listVerb, context)
  return program
}
