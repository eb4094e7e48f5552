import { HoldfastError } from '@holdfast/contract'
import { statModeFromGo } from '../format/file-mode.ts'
import { parseGoTime } from '../format/go-time.ts'
import type { TreeNode } from '../format/tree.ts'
import type { Metadata, Xattr } from './apply-metadata.ts'
import type { PackJobPlan } from './pack-jobs.ts'
import type { PlannedFile, RestoreBatch } from './restore-batch.ts'
import {
  EXISTING,
  type JobFiles,
  ONE_SHOT,
  type PackJob,
  REMOVE_OTHERS,
  type ScanJob,
  SPARSE,
  ZERO_FILLED,
} from './restore-job.ts'
import type { RestoreSettings } from './restore-settings.ts'

/** A job and, for its answer, the batch's reference behind each of its targets. */
export interface Built<Job> {
  readonly job: Job
  /** Batch file numbers by the job's own. */
  readonly fileNumbers: readonly number[]
}

/** The message for one planned job; `ranges` is left to whoever fetches them. */
export function buildPackJob(
  batch: RestoreBatch,
  plan: PackJobPlan,
  settings: RestoreSettings,
): Built<PackJob> {
  const { refs } = batch
  const count = plan.refs.length
  const targetFile = new Uint32Array(count)
  const targetOffset = new Float64Array(count)
  const blobs: number[] = []
  const starts: number[] = []
  const numbering = numberFiles()
  let last = -1
  for (let target = 0; target < count; target++) {
    const ref = plan.refs[target] ?? 0
    targetFile[target] = numbering.of(refs.file[ref] ?? 0)
    targetOffset[target] = refs.fileOffset[ref] ?? 0
    if (last >= 0 && refs.packOffset[ref] === refs.packOffset[last]) continue
    blobs.push(ref)
    starts.push(target)
    last = ref
  }
  starts.push(count)
  const job: PackJob = {
    kind: 'pack',
    packId: refs.packIds[plan.pack] ?? '',
    offsets: Uint32Array.from(blobs, (ref) => refs.packOffset[ref] ?? 0),
    sealedLengths: Uint32Array.from(blobs, (ref) => refs.sealedLength[ref] ?? 0),
    plainLengths: Uint32Array.from(blobs, (ref) => refs.plainLength[ref] ?? 0),
    compressed: Uint8Array.from(blobs, (ref) => refs.compressed[ref] ?? 0),
    ids: gatherIds(refs.ids, blobs),
    targetStart: Uint32Array.from(starts),
    targetFile,
    targetOffset,
    files: fileColumns(
      numbering.numbers.map((n) => fileOf(batch, n)),
      settings,
    ),
    ranges: undefined,
  }
  return { job, fileNumbers: numbering.numbers }
}

/** Asks whether the given references are in place. */
export function buildScanJob(
  batch: RestoreBatch,
  refNumbers: readonly number[],
  settings: RestoreSettings,
): ScanJob {
  const { refs } = batch
  const numbering = numberFiles()
  const file = Uint32Array.from(refNumbers, (ref) => numbering.of(refs.file[ref] ?? 0))
  return {
    kind: 'scan',
    file,
    fileOffset: Float64Array.from(refNumbers, (ref) => refs.fileOffset[ref] ?? 0),
    plainLength: Uint32Array.from(refNumbers, (ref) => refs.plainLength[ref] ?? 0),
    ids: gatherIds(refs.ids, refNumbers),
    files: fileColumns(
      numbering.numbers.map((n) => fileOf(batch, n)),
      settings,
    ),
  }
}

/** What a node says about its entry, as it is to be set. */
export function metadataFor(node: TreeNode, settings: RestoreSettings, removeOthers: boolean): Metadata {
  const owner = settings.ownerOf(node)
  return {
    uid: owner.uid,
    gid: owner.gid,
    mode: statModeFromGo(node.mode),
    atimeNs: parseGoTime(node.atime),
    mtimeNs: parseGoTime(node.mtime),
    xattrs: wantedXattrs(node, settings),
    removeOthers: removeOthers && settings.xattrs !== undefined,
  }
}

function wantedXattrs(node: TreeNode, settings: RestoreSettings): readonly Xattr[] {
  const { xattrs } = settings
  return xattrs === undefined ? [] : node.xattrs.filter(({ name }) => xattrs(name))
}

function fileColumns(planned: readonly PlannedFile[], settings: RestoreSettings): JobFiles {
  const directories = new Map<string, number>()
  const xattrs = new Map<number, readonly Xattr[]>()
  const count = planned.length
  const files: JobFiles = {
    directories: [],
    directory: new Uint32Array(count),
    names: planned.map((file) => file.writeName),
    flags: new Uint8Array(count),
    size: new Float64Array(count),
    mode: new Uint32Array(count),
    uid: new Uint32Array(count),
    gid: new Uint32Array(count),
    times: new BigInt64Array(2 * count),
    xattrs,
  }
  planned.forEach((file, i) => {
    const { path } = file.directory
    const number = directories.get(path) ?? directories.size
    directories.set(path, number)
    files.directory[i] = number
    files.flags[i] = flagsOf(file, settings)
    files.size[i] = file.node.size
    if (!file.oneShot) return
    const metadata = metadataFor(file.node, settings, false)
    files.mode[i] = metadata.mode
    files.uid[i] = metadata.uid
    files.gid[i] = metadata.gid
    files.times[2 * i] = clampTime(metadata.atimeNs)
    files.times[2 * i + 1] = clampTime(metadata.mtimeNs)
    if (metadata.xattrs.length > 0) xattrs.set(i, metadata.xattrs)
  })
  return { ...files, directories: [...directories.keys()] }
}

function flagsOf(file: PlannedFile, settings: RestoreSettings): number {
  let flags = file.oneShot ? ONE_SHOT : 0
  if (file.existing) flags |= EXISTING
  else flags |= ZERO_FILLED
  if (settings.sparse) flags |= SPARSE
  if (needsOthersRemoved(file, settings)) flags |= REMOVE_OTHERS
  return flags
}

/** Only files that were there before, or were given an ACL at birth, can have attributes of their own. */
export function needsOthersRemoved(file: PlannedFile, settings: RestoreSettings): boolean {
  return settings.xattrs !== undefined && (file.existing || file.directory.hasDefaultAcl)
}

function numberFiles() {
  const numbers: number[] = []
  const known = new Map<number, number>()
  return {
    numbers,
    of(batchNumber: number): number {
      const number = known.get(batchNumber)
      if (number !== undefined) return number
      known.set(batchNumber, numbers.length)
      return numbers.push(batchNumber) - 1
    },
  }
}

function gatherIds(ids: Buffer, refNumbers: readonly number[]): Uint8Array {
  const gathered = new Uint8Array(refNumbers.length * 32)
  refNumbers.forEach((ref, i) => gathered.set(ids.subarray(ref * 32, ref * 32 + 32), i * 32))
  return gathered
}

export function fileOf(batch: RestoreBatch, number: number): PlannedFile {
  const file = batch.files[number]
  if (file === undefined) throw new HoldfastError('Internal', `no file ${number} in the batch`)
  return file
}

const EARLIEST = -(2n ** 63n)
const LATEST = 2n ** 63n - 1n

// 64 bits of nanoseconds reach from 1677 to 2262; no file system of ours keeps times beyond that.
function clampTime(ns: bigint): bigint {
  return ns < EARLIEST ? EARLIEST : ns > LATEST ? LATEST : ns
}
