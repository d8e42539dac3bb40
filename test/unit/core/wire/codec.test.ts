import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AssertionFailure } from '../../../../core/assert.ts';
import { crc32c } from '../../../../core/crc32c/index.ts';
import { codeOf } from '../../../../core/errors.ts';
import { FRAME_PAYLOAD_BYTES_MAX } from '../../../../core/limits.ts';
import { SimRandom } from '../../../../core/platform/sim/index.ts';
import { encodeHeader, FrameDecoder, WireError } from '../../../../core/wire/codec.ts';
import { ANSWER, FRAME_HEADER_BYTES, type FrameHeader, Op } from '../../../../core/wire/frame.ts';

type Frame = Readonly<FrameHeader> & { readonly payload: Buffer };
type Sent = Omit<FrameHeader, 'payloadBytes'> & { readonly payload: Buffer | null };

const NOTHING: Sent = {
  op: Op.ping,
  status: 0,
  sequence: 1,
  epoch: 0,
  offsetBytes: 0,
  lengthBytes: 0,
  payload: null,
};

function encode(frame: Sent): Buffer {
  const header = encodeHeader(frame, frame.payload);
  return frame.payload === null ? header : Buffer.concat([header, frame.payload]);
}

function decoder(payloadBytesMax?: number) {
  const frames: Frame[] = [];
  const decoding = new FrameDecoder((header, payload) => {
    frames.push({ ...header, payload });
  }, payloadBytesMax);
  return { frames, decoding };
}

function decode(...chunks: readonly Buffer[]): readonly Frame[] {
  const { frames, decoding } = decoder();
  for (const chunk of chunks) decoding.push(chunk);
  return frames;
}

/** The code of the WireError that the bytes are refused with; null when they are taken. */
function refusalOf(bytes: Buffer, payloadBytesMax?: number): string | null {
  try {
    decoder(payloadBytesMax).decoding.push(bytes);
    return null;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return error.code;
  }
}

/** The header changed, with a checksum that fits again. */
function tampered(frame: Sent, change: (header: Buffer) => void): Buffer {
  const bytes = encode(frame);
  change(bytes);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 44)), 44);
  return bytes;
}

const anyFrame: fc.Arbitrary<Sent> = fc.record({
  op: fc.integer({ min: 0, max: 255 }),
  status: fc.integer({ min: 0, max: 255 }),
  sequence: fc.maxSafeNat(),
  epoch: fc.maxSafeNat(),
  offsetBytes: fc.maxSafeNat(),
  lengthBytes: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  payload: fc.option(fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))),
});

function received(frame: Sent): Frame {
  const payload = frame.payload ?? Buffer.alloc(0);
  return { ...frame, payload, payloadBytes: payload.length };
}

describe('a frame', () => {
  test('has the layout that frame.ts says', () => {
    const payload = Buffer.from('data');
    const bytes = encode({
      op: Op.write | ANSWER,
      status: 5,
      sequence: 2 ** 40 + 7,
      epoch: 3,
      offsetBytes: 2 ** 33,
      lengthBytes: 2 ** 32 - 1,
      payload,
    });
    expect(bytes).toHaveLength(FRAME_HEADER_BYTES + 4);
    expect(bytes.toString('latin1', 0, 4)).toBe('MAYA');
    expect([...bytes.subarray(4, 8)]).toEqual([1, 0x83, 5, 0]);
    expect(bytes.readBigUInt64LE(8)).toBe(2n ** 40n + 7n);
    expect(bytes.readBigUInt64LE(16)).toBe(3n);
    expect(bytes.readBigUInt64LE(24)).toBe(2n ** 33n);
    expect(bytes.readUInt32LE(32)).toBe(2 ** 32 - 1);
    expect(bytes.readUInt32LE(36)).toBe(4);
    expect(bytes.readUInt32LE(40)).toBe(crc32c(payload));
    expect(bytes.readUInt32LE(44)).toBe(crc32c(bytes.subarray(0, 44)));
    expect(bytes.subarray(48)).toEqual(payload);
  });

  test('is read as it was written, however the stream is cut', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 });
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 8 }), cuts, (sent, lengths) => {
        const stream = Buffer.concat(sent.map(encode));
        const { frames, decoding } = decoder();
        for (let at = 0, index = 0; at < stream.length; index += 1) {
          const length = lengths[index % lengths.length] ?? 1;
          decoding.push(stream.subarray(at, at + length));
          at += length;
        }
        expect(frames).toEqual(sent.map(received));
        expect(decoding.atBoundary).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test('is read one byte at a time', () => {
    const sent = [
      { ...NOTHING, payload: Buffer.from('one') },
      NOTHING,
      { ...NOTHING, op: Op.read, sequence: 2, payload: Buffer.alloc(700, 7) },
    ];
    const { frames, decoding } = decoder();
    let boundaries = 0;
    for (const byte of Buffer.concat(sent.map(encode))) {
      decoding.push(Buffer.from([byte]));
      if (decoding.atBoundary) boundaries += 1;
    }
    expect(frames).toEqual(sent.map(received));
    expect(boundaries).toBe(3);
  });

  test('cut short is none, and the decoder knows that it is within one', () => {
    const bytes = encode({ ...NOTHING, payload: Buffer.from('payload') });
    for (let length = 0; length < bytes.length; length += 1) {
      const { frames, decoding } = decoder();
      decoding.push(bytes.subarray(0, length));
      expect(frames).toHaveLength(0);
      expect(decoding.atBoundary).toBe(length === 0);
    }
  });

  test('has a payload that stays as it is when later ones come', () => {
    const sent = ['one', 'two', 'three'].map((text) => ({
      ...NOTHING,
      payload: Buffer.from(text),
    }));
    const stream = Buffer.concat(sent.map(encode));
    for (const cut of [1, 20, 49, 60, stream.length]) {
      const frames = decode(stream.subarray(0, cut), stream.subarray(cut));
      expect(frames.map(({ payload }) => payload.toString())).toEqual(['one', 'two', 'three']);
    }
  });

  test('may be as large as the limit and not a byte more', () => {
    const payload = Buffer.alloc(FRAME_PAYLOAD_BYTES_MAX, 1);
    expect(decode(encode({ ...NOTHING, payload }))[0]?.payload).toHaveLength(payload.length);
    const tooLarge = Buffer.alloc(FRAME_PAYLOAD_BYTES_MAX + 1);
    expect(() => encodeHeader(NOTHING, tooLarge)).toThrow(AssertionFailure);
    const header = tampered(NOTHING, (bytes) => bytes.writeUInt32LE(tooLarge.length, 36));
    expect(refusalOf(header)).toBe('tooLarge');
    expect(refusalOf(encode({ ...NOTHING, payload: Buffer.alloc(11) }), 10)).toBe('tooLarge');
    expect(refusalOf(encode({ ...NOTHING, payload: Buffer.alloc(10) }), 10)).toBeNull();
  });

  test('takes a checksum of the payload that was made before', () => {
    const payload = Buffer.from('sent to three replicas');
    const again = encodeHeader(NOTHING, payload, crc32c(payload));
    expect(again).toEqual(encodeHeader(NOTHING, payload));
  });

  test('is not made with numbers that are not whole, safe and positive', () => {
    for (const value of [-1, 0.5, 2 ** 53, Number.NaN]) {
      expect(() => encodeHeader({ ...NOTHING, offsetBytes: value }, null)).toThrow(
        AssertionFailure,
      );
      expect(() => encodeHeader({ ...NOTHING, sequence: value }, null)).toThrow(AssertionFailure);
      expect(() => encodeHeader({ ...NOTHING, epoch: value }, null)).toThrow(AssertionFailure);
    }
    for (const lengthBytes of [-1, 0.5, 2 ** 32, Number.NaN]) {
      expect(() => encodeHeader({ ...NOTHING, lengthBytes }, null)).toThrow(AssertionFailure);
    }
  });
});

describe('a damaged stream', () => {
  test('is refused with the right code', () => {
    expect(
      refusalOf(Buffer.from('GET / HTTP/1.1\r\nHost: replica\r\nAccept: everything\r\n\r\n')),
    ).toBe('badMagic');
    expect(refusalOf(tampered(NOTHING, (bytes) => bytes.writeUInt8(2, 4)))).toBe('badVersion');
    expect(refusalOf(tampered(NOTHING, (bytes) => bytes.writeUInt8(1, 7)))).toBe('badNumber');
    for (const at of [8, 16, 24]) {
      const huge = tampered(NOTHING, (bytes) => bytes.writeBigUInt64LE(2n ** 53n, at));
      expect(refusalOf(huge)).toBe('badNumber');
      const most = tampered(NOTHING, (bytes) => bytes.writeBigUInt64LE(2n ** 53n - 1n, at));
      expect(refusalOf(most)).toBeNull();
    }
    const payload = Buffer.from('data');
    const damaged = encode({ ...NOTHING, payload });
    damaged[48] = 0;
    expect(refusalOf(damaged)).toBe('badPayloadCrc');
    const header = encode(NOTHING);
    header[9] = 1;
    expect(refusalOf(header)).toBe('badHeaderCrc');
  });

  test('with any one bit flipped gives no wrong frame', () => {
    const bytes = encode({ ...NOTHING, op: Op.write, payload: Buffer.from('some data') });
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(refusalOf(damaged)).toMatch(/^bad(Magic|Version|HeaderCrc|PayloadCrc)$/);
    }
  });

  test('with random bits flipped, cut anywhere, gives the frames before and then nothing', () => {
    const random = new SimRandom('damage');
    for (let round = 0; round < 200; round += 1) {
      const sent = Array.from({ length: 5 }, (_none, index) => ({
        ...NOTHING,
        sequence: index + 1,
        payload: random.bytes(random.below(200)),
      }));
      const stream = Buffer.concat(sent.map(encode));
      for (let flips = 1 + random.below(3); flips > 0; flips -= 1) {
        const at = random.below(stream.length);
        stream[at] = (stream[at] ?? 0) ^ (1 << random.below(8));
      }
      const { frames, decoding } = decoder();
      try {
        for (let at = 0; at < stream.length; ) {
          const length = 1 + random.below(100);
          decoding.push(stream.subarray(at, at + length));
          at += length;
        }
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
      expect(frames).toEqual(sent.slice(0, frames.length).map(received));
    }
  });

  test('of random bytes is refused, and never read on', () => {
    const random = new SimRandom('noise');
    for (let round = 0; round < 200; round += 1) {
      const noise = random.bytes(FRAME_HEADER_BYTES + random.below(200));
      if (round % 2 === 0) encode(NOTHING).copy(noise, 0, 0, 8);
      expect(refusalOf(noise)).not.toBeNull();
    }
  });

  test('is dead for good: what comes after the damage is not looked at', () => {
    const { frames, decoding } = decoder();
    const bytes = encode(NOTHING);
    bytes[0] = 0;
    expect(() => decoding.push(bytes)).toThrow(WireError);
    decoding.push(encode(NOTHING));
    expect(frames).toHaveLength(0);
  });

  test('is dead as well when the receiver throws', () => {
    const failure = new Error('refused');
    let count = 0;
    const decoding = new FrameDecoder(() => {
      count += 1;
      throw failure;
    });
    expect(() => decoding.push(Buffer.concat([encode(NOTHING), encode(NOTHING)]))).toThrow(failure);
    decoding.push(encode(NOTHING));
    expect(count).toBe(1);
  });

  test('is refused with an error that has a code', () => {
    const error = new WireError({ code: 'badMagic', detail: 'x' }, 'x');
    expect(codeOf(error)).toBe('badMagic');
  });
});
