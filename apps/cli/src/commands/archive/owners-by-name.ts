import { openAccounts, type TreeNode } from '@holdfast/archive'

/** Finds the owner by the names in the snapshot; where this machine does not know a name, its number stays. */
export function ownersByName(): (node: TreeNode) => { readonly uid: number; readonly gid: number } {
  const accounts = openAccounts()
  return (node) => ({
    uid: (node.user === '' ? undefined : accounts.userId(node.user)) ?? node.uid,
    gid: (node.group === '' ? undefined : accounts.groupId(node.group)) ?? node.gid,
  })
}
