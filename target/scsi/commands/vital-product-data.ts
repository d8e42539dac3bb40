/** Vital product data pages (SPC-4 §7.8, SBC-3 §6.6). */
import { TRANSFER_BYTES_MAX } from '../../../core/limits.ts';
import { type Identity, nameAddressOf, serialOf } from '../identity.ts';
import {
  COMPARE_AND_WRITE_BLOCK_COUNT_MAX,
  TRANSFER_BYTES_OPTIMAL,
  UNMAP_COMMAND_BYTES_MAX,
  UNMAP_DESCRIPTOR_COUNT_MAX,
  WRITE_SAME_BYTES_MAX,
} from '../limits.ts';
import type { LogicalUnit } from '../logical-unit.ts';

const PAGES: Readonly<Record<number, (unit: LogicalUnit) => Buffer>> = {
  0x00: encodeSupportedPages,
  0x80: (unit) => Buffer.from(serialOf(unit.identity), 'latin1'),
  0x83: (unit) => encodeDeviceIdentification(unit.identity),
  0xb0: encodeBlockLimits,
  0xb1: encodeBlockCharacteristics,
  0xb2: encodeProvisioning,
};

/** The whole page, or null when there is no such page. */
export function encodeVitalProductData(unit: LogicalUnit, page: number): Buffer | null {
  const content = PAGES[page]?.(unit);
  if (content === undefined) return null;
  const header = Buffer.alloc(4);
  header[1] = page;
  header.writeUInt16BE(content.length, 2);
  return Buffer.concat([header, content]);
}

/** In ascending order (SPC-4 §7.8.14), which is the order of integer keys. */
function encodeSupportedPages(): Buffer {
  return Buffer.from(Object.keys(PAGES).map(Number));
}

const CODE_SET_BINARY = 1;
const CODE_SET_ASCII = 2;
const ASSOCIATED_WITH_PORT = 0x10;
const T10_VENDOR = 1;
const NAME_ADDRESS = 3;
const RELATIVE_PORT = 4;

/** SPC-4 §7.8.6. What Linux and multipath know the device by: NAA first, then the T10 name. */
function encodeDeviceIdentification(identity: Identity): Buffer {
  const vendorName = Buffer.from(`${identity.vendor}${identity.volumeId}`, 'latin1');
  return Buffer.concat([
    designator(CODE_SET_BINARY, NAME_ADDRESS, nameAddressOf(identity)),
    designator(CODE_SET_ASCII, T10_VENDOR, vendorName),
    designator(CODE_SET_BINARY, ASSOCIATED_WITH_PORT | RELATIVE_PORT, Buffer.from([0, 0, 0, 1])),
  ]);
}

function designator(codeSet: number, type: number, value: Buffer): Buffer {
  const iscsiProtocol = (type & ASSOCIATED_WITH_PORT) !== 0;
  const header = [
    (iscsiProtocol ? 0x50 : 0) | codeSet,
    (iscsiProtocol ? 0x80 : 0) | type,
    0,
    value.length,
  ];
  return Buffer.concat([Buffer.from(header), value]);
}

const BLOCK_LIMITS_BYTES = 60;

/** SBC-3 §6.6.4. Offsets are those of the page, four more than within `content`. */
function encodeBlockLimits(unit: LogicalUnit): Buffer {
  const blocks = (lengthBytes: number) => lengthBytes / unit.blockBytes;
  const content = Buffer.alloc(BLOCK_LIMITS_BYTES);
  const put32 = (value: number, pageIndex: number) => content.writeUInt32BE(value, pageIndex - 4);
  // WSNZ: no WRITE SAME of zero blocks, that is up to the end.
  content[4 - 4] = 1;
  content[5 - 4] = COMPARE_AND_WRITE_BLOCK_COUNT_MAX;
  content.writeUInt16BE(blocks(unit.physicalBlockBytes), 6 - 4);
  put32(blocks(TRANSFER_BYTES_MAX), 8);
  put32(blocks(TRANSFER_BYTES_OPTIMAL), 12);
  put32(blocks(UNMAP_COMMAND_BYTES_MAX), 20);
  put32(UNMAP_DESCRIPTOR_COUNT_MAX, 24);
  // OPTIMAL UNMAP GRANULARITY is left at "not reported". Linux takes the physical block for it;
  // told the same number, QEMU would ask GET LBA STATUS before each read of 32 KiB or more.
  put32(blocks(WRITE_SAME_BYTES_MAX), 40);
  return content;
}

const NOT_ROTATING = 1;

/** SBC-3 §6.6.2. */
function encodeBlockCharacteristics(): Buffer {
  const content = Buffer.alloc(60);
  content.writeUInt16BE(NOT_ROTATING, 0);
  return content;
}

/** LBPU, LBPWS, LBPWS10, and LBPRZ: unmapped blocks read as zeros (SBC-3 §6.6.5). */
const PROVISIONING_FLAGS = 0x80 | 0x40 | 0x20 | 0x04;
const THIN = 2;

function encodeProvisioning(): Buffer {
  return Buffer.from([0, PROVISIONING_FLAGS, THIN, 0]);
}
