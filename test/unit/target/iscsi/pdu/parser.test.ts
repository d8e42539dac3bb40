import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { crc32c } from '../../../../../core/crc32c/index.ts';
import { PduParser, type PduSink } from '../../../../../target/iscsi/pdu/parser.ts';
import { paddingOf } from '../../../../fixtures/iscsi-pdu.ts';

type Seen = { readonly header: string; readonly data: string };
type Digests = { readonly header: boolean; readonly data: boolean };

class Recorder implements PduSink {
  readonly seen: Seen[] = [];
  readonly violations: string[] = [];
  readonly places: Buffer[] = [];
  givesPlaces = false;
  onEach: () => void = () => undefined;

  placeFor(_header: Buffer, _at: number, dataBytes: number): Buffer | null {
    if (!this.givesPlaces) return null;
    const place = Buffer.alloc(dataBytes + 7).subarray(7);
    this.places.push(place);
    return place;
  }

  onPdu(header: Buffer, at: number, data: Buffer): void {
    this.seen.push({
      header: header.toString('hex', at, at + 48),
      data: data.toString('hex'),
    });
    this.onEach();
  }

  onViolation(violation: string): void {
    this.violations.push(violation);
  }
}

function digestOf(bytes: Buffer): Buffer {
  const digest = Buffer.alloc(4);
  digest.writeUInt32LE(crc32c(bytes));
  return digest;
}

function encode(
  pdu: { readonly seed: number; readonly ahsWords: number; readonly data: Uint8Array },
  digests: Digests,
): Buffer {
  const header = Buffer.alloc(48 + pdu.ahsWords * 4, pdu.seed);
  header[4] = pdu.ahsWords;
  header.writeUIntBE(pdu.data.length, 5, 3);
  const data = Buffer.concat([pdu.data, paddingOf(pdu.data.length)]);
  return Buffer.concat([
    header,
    digests.header ? digestOf(header) : Buffer.alloc(0),
    data,
    digests.data && data.length > 0 ? digestOf(data) : Buffer.alloc(0),
  ]);
}

function parse(chunks: readonly Buffer[], digests: Digests, sink = new Recorder()): Recorder {
  const parser = new PduParser(sink, 8192);
  parser.headerDigest = digests.header;
  parser.dataDigest = digests.data;
  for (const chunk of chunks) parser.feed(Buffer.from(chunk));
  return sink;
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const points = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted(
    (a, b) => a - b,
  );
  return [0, ...points].map((from, index) => bytes.subarray(from, points[index] ?? bytes.length));
}

const pdus = fc.array(
  fc.record({
    seed: fc.nat(255),
    ahsWords: fc.oneof(fc.constant(0), fc.nat(5)),
    data: fc.oneof(fc.uint8Array({ maxLength: 9 }), fc.uint8Array({ maxLength: 600 })),
  }),
  { minLength: 1, maxLength: 6 },
);
const anyDigests = fc.record({ header: fc.boolean(), data: fc.boolean() });
const NONE = { header: false, data: false };
const BOTH = { header: true, data: true };

describe('the PDU parser', () => {
  test('finds the same PDUs however the bytes are cut', () => {
    fc.assert(
      fc.property(
        pdus,
        anyDigests,
        fc.array(fc.nat()),
        fc.boolean(),
        (list, digests, cuts, own) => {
          const bytes = Buffer.concat(list.map((pdu) => encode(pdu, digests)));
          const sink = new Recorder();
          sink.givesPlaces = own;
          const { seen, violations } = parse(cutAt(bytes, cuts), digests, sink);
          expect(violations).toEqual([]);
          expect(seen.map(({ data }) => data)).toEqual(
            list.map((pdu) => Buffer.from(pdu.data).toString('hex')),
          );
          const whole = parse([bytes], digests);
          expect(seen).toEqual(whole.seen);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('fed one byte at a time finds them too', () => {
    const list = [0, 1, 4, 5, 300].map((length, index) => ({
      seed: index,
      ahsWords: index % 2,
      data: Buffer.alloc(length, index + 1),
    }));
    for (const digests of [NONE, BOTH]) {
      const bytes = Buffer.concat(list.map((pdu) => encode(pdu, digests)));
      const bytewise = Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
      expect(parse(bytewise, digests).seen).toEqual(parse([bytes], digests).seen);
      expect(parse(bytewise, digests).seen).toHaveLength(5);
    }
  });

  test('says nothing of a PDU that is cut off', () => {
    const pdu = encode({ seed: 1, ahsWords: 1, data: Buffer.alloc(10) }, BOTH);
    for (let length = 0; length < pdu.length; length += 1) {
      const { seen, violations } = parse([pdu.subarray(0, length)], BOTH);
      expect([seen.length, violations.length]).toEqual([0, 0]);
    }
  });

  test('notices every flipped bit when digests are on, and delivers nothing of it', () => {
    const good = { seed: 0, ahsWords: 0, data: Buffer.from('some data') };
    const bytes = encode(good, BOTH);
    const tail = encode({ ...good, data: Buffer.alloc(0) }, BOTH);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const isLength = bit >> 3 >= 4 && bit >> 3 < 8;
      // A wrong length asks for more bytes than there are: it is noticed once they have come.
      const rest = isLength ? Buffer.alloc(16_384) : tail;
      const { seen, violations } = parse([Buffer.concat([flipped, rest])], BOTH);
      expect(seen).toEqual([]);
      expect(violations).toHaveLength(1);
    }
  });

  test('refuses a data segment beyond what was declared, before it has come', () => {
    const header = Buffer.alloc(48);
    header.writeUIntBE(8193, 5, 3);
    expect(parse([header], NONE).violations).toEqual(['dataSegmentTooLong']);
    header.writeUIntBE(0xffffff, 5, 3);
    expect(parse([header, Buffer.alloc(5000)], NONE).violations).toEqual(['dataSegmentTooLong']);
  });

  test('random bytes end in PDUs, a violation or a wait, and never in an exception', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), anyDigests, (chunks, digests) => {
        const { violations } = parse(
          chunks.map((chunk) => Buffer.from(chunk)),
          digests,
        );
        expect(violations.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 500 },
    );
  });

  test('delivers nothing after it was stopped, and no second violation', () => {
    const sink = new Recorder();
    const parser = new PduParser(sink, 100);
    sink.onEach = () => parser.stop();
    const pdu = encode({ seed: 0, ahsWords: 0, data: Buffer.alloc(0) }, NONE);
    parser.feed(Buffer.concat([pdu, pdu]));
    parser.feed(pdu);
    expect(sink.seen).toHaveLength(1);
    const tooLong = Buffer.alloc(48);
    tooLong.fill(0xff, 5, 8);
    expect(parse([tooLong, tooLong], NONE).violations).toHaveLength(1);
  });

  test('takes up digests that are turned on with a PDU for the one after it', () => {
    const sink = new Recorder();
    const parser = new PduParser(sink, 8192);
    sink.onEach = () => {
      parser.headerDigest = true;
      parser.dataDigest = true;
    };
    const pdu = { seed: 3, ahsWords: 0, data: Buffer.from('abc') };
    parser.feed(Buffer.concat([encode(pdu, NONE), encode(pdu, BOTH)]));
    expect(sink.seen).toHaveLength(2);
    expect(sink.violations).toEqual([]);
  });

  test('gathers a segment that spans chunks in the place it is given', () => {
    const pdu = encode({ seed: 0, ahsWords: 0, data: Buffer.from('in two pieces') }, BOTH);
    const place = Buffer.alloc(13);
    const got: Buffer[] = [];
    const parser = new PduParser(
      {
        placeFor: (_header, _at, dataBytes) => (dataBytes === 13 ? place : null),
        onPdu: (_header, _at, data) => got.push(data),
        onViolation: () => undefined,
      },
      8192,
    );
    parser.headerDigest = true;
    parser.dataDigest = true;
    parser.feed(Buffer.from(pdu.subarray(0, 57)));
    parser.feed(Buffer.from(pdu.subarray(57)));
    expect(got).toEqual([place]);
    expect(got[0]).toBe(place);
    expect(place.toString()).toBe('in two pieces');
  });

  test('copies nothing of a PDU that lies within one chunk', () => {
    const chunk = Buffer.concat([
      encode({ seed: 0, ahsWords: 0, data: Buffer.from('first') }, NONE),
      encode({ seed: 0, ahsWords: 0, data: Buffer.from('second') }, NONE),
    ]);
    const views: Buffer[] = [];
    const parser = new PduParser(
      {
        placeFor: () => null,
        onPdu: (_header, _at, data) => views.push(data),
        onViolation: () => undefined,
      },
      8192,
    );
    parser.feed(chunk);
    expect(views.map((view) => view.buffer === chunk.buffer)).toEqual([true, true]);
    expect(views.map(String)).toEqual(['first', 'second']);
  });
});
