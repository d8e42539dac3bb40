/** Every limit and every time-out that more than one part relies on, with their relations. */
import { assert } from './assert.ts';
import { KiB, MiB } from './units.ts';

/** Bytes of a logical block: offsets and lengths of every BlockDevice call are multiples of it. */
export const LOGICAL_BLOCK_BYTES = 512;
/** Bytes of a physical block: what a replica stores, indexes and copies as a unit. */
export const PHYSICAL_BLOCK_BYTES = 4 * KiB;

/** The most data that one BlockDevice read or write may carry. */
export const TRANSFER_BYTES_MAX = 4 * MiB;
/** The most bytes that one BlockDevice unmap may cover (small enough for its deadline). */
export const UNMAP_BYTES_MAX = 1024 * MiB;
/** The most bytes that one frame between target and replica may carry as payload. */
export const FRAME_PAYLOAD_BYTES_MAX = TRANSFER_BYTES_MAX;
/** The most bytes of a hello, promise, record or rebuild payload (JSON). */
export const CONTROL_PAYLOAD_BYTES_MAX = 256 * KiB;

/** Regions: unit of checksums between replicas. */
export const REGION_BYTES = 4 * MiB;
/** Within a region one CRC32C is compared per so many bytes. */
export const CHECKSUM_CHUNK_BYTES = 64 * KiB;

/** Pings on the control connection (R17). */
export const PING_INTERVAL_MS = 500;
export const PING_DEADLINE_MS = 3_000;
/** Deadlines of requests to a replica by class (R17). */
export const DATA_DEADLINE_MS = 3_000;
export const FLUSH_DEADLINE_MS = 10_000;
export const UNMAP_DEADLINE_MS_PER_GIB = 10_000;
/** An event-loop gap above this re-arms all deadlines (R17). */
export const LOOP_GAP_MS = 500;
/** The lease (R11): a read is answered only if every binding member answered a ping sent since. */
export const LEASE_MS = 4_000;
/** A new target waits this long before its first state-changing GOOD (R11): 1.1 leases. */
export const LEASE_WAIT_MS = 4_400;
/** A starting target waits so long for in-sync members that do not answer (R10). */
export const STRAGGLER_MS = 3_000;
/** Commands are held this long while membership cannot change, then answered BUSY (R18). */
export const HOLD_MS = 18_000;
/** Commands answered BUSY that are still carried to a member: above it new changes are held. */
export const CARRIED_COMMANDS_MAX = 1024;
export const CARRIED_BYTES_MAX = 64 * MiB;

/** Heartbeat of an agent to the apiserver; a node is "lost" after so long without one. */
export const HEARTBEAT_INTERVAL_MS = 1_000;
export const HEARTBEAT_LOST_MS = 10_000;

assert(LEASE_WAIT_MS >= 1.1 * LEASE_MS, 'a new target waits out the lease of an old one');
assert(PING_INTERVAL_MS * 4 < LEASE_MS, 'several pings fit into a lease');
assert(PING_DEADLINE_MS < LEASE_MS, 'a lost member is noticed before the lease ends');
assert(HOLD_MS < 20_000, 'BUSY is answered before an initiator gives up (R18)');
assert(REGION_BYTES % CHECKSUM_CHUNK_BYTES === 0, 'a region is a whole number of chunks');
assert(FRAME_PAYLOAD_BYTES_MAX >= TRANSFER_BYTES_MAX, 'one frame carries any transfer');
