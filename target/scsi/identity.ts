import { assert } from '../../core/assert.ts';

/** Who a logical unit is: the same after every failover, whichever node serves it. */
export interface Identity {
  /** UUID of the volume. */
  readonly volumeId: string;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
}

export interface IdentityOptions {
  readonly volumeId: string;
  readonly vendor?: string;
  readonly product?: string;
  readonly revision?: string;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function makeIdentity(options: IdentityOptions): Identity {
  const volumeId = options.volumeId.toLowerCase();
  assert(UUID.test(volumeId), 'a volume id is a UUID');
  return {
    volumeId,
    vendor: padded(options.vendor ?? 'OPENEBS', 8),
    product: padded(options.product ?? 'Volume', 16),
    revision: padded(options.revision ?? '0001', 4),
  };
}

/** T10 fields are left-aligned printable ASCII, filled with spaces (SPC-4 §4.3.1). */
function padded(text: string, lengthBytes: number): string {
  assert(/^[\x20-\x7e]*$/.test(text), 'INQUIRY data is printable ASCII');
  assert(text.length <= lengthBytes, 'an INQUIRY field holds its text');
  return text.padEnd(lengthBytes);
}

/** The unit serial number: the volume id without hyphens. */
export function serialOf(identity: Identity): string {
  return identity.volumeId.replaceAll('-', '');
}

const NAA_LOCALLY_ASSIGNED = 0x30;

/**
 * A locally assigned NAA name (SPC-4 §7.8.6.6.4): 60 random bits of the UUID. The registered
 * formats need a company id of the IEEE, which this project has not. Bits that a version 4 UUID
 * fixes are left out.
 */
export function nameAddressOf(identity: Identity): Buffer {
  const uuid = Buffer.from(serialOf(identity), 'hex');
  // Bytes 0–5, 7 and 10 are random throughout; of byte 10 the high nibble gives way to the type.
  const name = Buffer.from([10, 0, 1, 2, 3, 4, 5, 7].map((index) => uuid[index] as number));
  name[0] = NAA_LOCALLY_ASSIGNED | ((name[0] as number) & 0x0f);
  return name;
}
