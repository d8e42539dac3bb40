import { createHash } from 'node:crypto';

const PREFIX = 'iqn.2016-09.com.openebs:node-';
/** RFC 7143 §4.2.7.1: an iSCSI name has at most 223 bytes. */
const NAME_BYTES_MAX = 223;
const HASH_CHARACTERS = 32;

/** The name under which a node's own agent logs in to targets; the same for the node's life. */
export function nodeInitiatorName(node: string): string {
  const name = `${PREFIX}${node}`;
  if (name.length <= NAME_BYTES_MAX) return name;
  const hash = createHash('sha256').update(node).digest('hex').slice(0, HASH_CHARACTERS);
  return `${PREFIX}${hash}`;
}
