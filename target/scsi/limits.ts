/** What the block limits page (VPD B0h) tells initiators, and the commands hold them to. */
import { assert } from '../../core/assert.ts';
import { PHYSICAL_BLOCK_BYTES, TRANSFER_BYTES_MAX, UNMAP_BYTES_MAX } from '../../core/limits.ts';
import { MiB } from '../../core/units.ts';

/** Beyond it a transfer gains nothing. */
export const TRANSFER_BYTES_OPTIMAL = MiB;
/** Half of what the device takes: libiscsi's suite holds more than 2^20 blocks to be insane. */
export const UNMAP_COMMAND_BYTES_MAX = 512 * MiB;
export const UNMAP_DESCRIPTOR_COUNT_MAX = 256;
/** WRITE SAME writes real blocks where they are not zeros to unmap: bounded by their deadline. */
export const WRITE_SAME_BYTES_MAX = 16 * MiB;
export const WRITE_SAME_STEP_BYTES = MiB;
/** A field of one byte. */
export const COMPARE_AND_WRITE_BLOCK_COUNT_MAX = 255;
/** VERIFY reads in steps of so many bytes. */
export const VERIFY_STEP_BYTES = MiB;

/** What REPORT SUPPORTED OPERATION CODES recommends to wait for any command. */
export const COMMAND_TIMEOUT_S = 60;

assert(UNMAP_COMMAND_BYTES_MAX <= UNMAP_BYTES_MAX, 'one unmap descriptor is one device call');
assert(WRITE_SAME_BYTES_MAX <= UNMAP_BYTES_MAX, 'WRITE SAME with UNMAP is one device call');
assert(WRITE_SAME_STEP_BYTES <= TRANSFER_BYTES_MAX, 'a step of WRITE SAME is one device call');
assert(VERIFY_STEP_BYTES <= TRANSFER_BYTES_MAX, 'a step of VERIFY is one device call');
assert(
  COMPARE_AND_WRITE_BLOCK_COUNT_MAX * PHYSICAL_BLOCK_BYTES <= TRANSFER_BYTES_MAX,
  'COMPARE AND WRITE reads and writes in one call, whatever the block size',
);
