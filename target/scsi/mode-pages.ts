/** Mode pages (SPC-4 §7.5, SBC-3 §6.5): what is reported, and the two bits that may be changed. */
import type { SenseFormat } from './sense.ts';

export const PAGE_CONTROL = { current: 0, changeable: 1, default: 2, saved: 3 } as const;

/** What MODE SELECT may change. Lost with the target, which then reports a power on. */
export interface ModeSettings {
  readonly senseFormat: SenseFormat;
  readonly softwareWriteProtected: boolean;
}

export const DEFAULT_MODE_SETTINGS: ModeSettings = {
  senseFormat: 'fixed',
  softwareWriteProtected: false,
};

export const CACHING_PAGE = 0x08;
export const CONTROL_PAGE = 0x0a;
export const ALL_PAGES = 0x3f;

/** Bits of the control page. */
const DESCRIPTOR_SENSE = 0x04;
const UNRESTRICTED_REORDERING = 0x10;
const SOFTWARE_WRITE_PROTECT = 0x08;
/** The cache is volatile: data may be lost until SYNCHRONIZE CACHE or FUA. */
const WRITE_CACHE_ENABLED = 0x04;

/** One page with its header, or null when there is no such page. */
export function encodeModePage(
  page: number,
  control: number,
  settings: ModeSettings,
): Buffer | null {
  if (page === CACHING_PAGE) return encodeCaching(control);
  return page === CONTROL_PAGE ? encodeControl(control, settings) : null;
}

function encodeCaching(control: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes[0] = CACHING_PAGE;
  bytes[1] = bytes.length - 2;
  if (control !== PAGE_CONTROL.changeable) bytes[2] = WRITE_CACHE_ENABLED;
  return bytes;
}

function encodeControl(control: number, current: ModeSettings): Buffer {
  const bytes = Buffer.alloc(12);
  bytes[0] = CONTROL_PAGE;
  bytes[1] = bytes.length - 2;
  if (control === PAGE_CONTROL.changeable) {
    bytes[2] = DESCRIPTOR_SENSE;
    bytes[4] = SOFTWARE_WRITE_PROTECT;
    return bytes;
  }
  const settings = control === PAGE_CONTROL.default ? DEFAULT_MODE_SETTINGS : current;
  if (settings.senseFormat === 'descriptor') bytes[2] = DESCRIPTOR_SENSE;
  bytes[3] = UNRESTRICTED_REORDERING;
  if (settings.softwareWriteProtected) bytes[4] = SOFTWARE_WRITE_PROTECT;
  // BUSY TIMEOUT PERIOD: as long as it takes.
  bytes.writeUInt16BE(0xffff, 8);
  return bytes;
}

/**
 * The settings after MODE SELECT of one page, or the index of the first byte that may not change.
 *
 * @param page the page as the initiator sent it, header included.
 */
export function applyModePage(
  page: Buffer,
  settings: ModeSettings,
): ModeSettings | { readonly wrongIndex: number } {
  const code = page[0] as number;
  const current = encodeModePage(code, PAGE_CONTROL.current, settings);
  const changeable = encodeModePage(code, PAGE_CONTROL.changeable, settings);
  if (current === null || changeable === null) return { wrongIndex: 0 };
  if (page.length !== current.length || page[1] !== current[1]) return { wrongIndex: 1 };
  for (let index = 2; index < page.length; index += 1) {
    const differing = (page[index] as number) ^ (current[index] as number);
    if ((differing & ~(changeable[index] as number)) !== 0) return { wrongIndex: index };
  }
  if (code !== CONTROL_PAGE) return settings;
  return {
    senseFormat: ((page[2] as number) & DESCRIPTOR_SENSE) !== 0 ? 'descriptor' : 'fixed',
    softwareWriteProtected: ((page[4] as number) & SOFTWARE_WRITE_PROTECT) !== 0,
  };
}
