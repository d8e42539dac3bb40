import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PduParser } from '../../../../../target/iscsi/pdu/parser.ts';
import { distance, next } from '../../../../../target/iscsi/pdu/serial.ts';
import { PduWriter } from '../../../../../target/iscsi/pdu/writer.ts';

class Output {
  readonly sent: Buffer[] = [];
  readonly copies: Buffer[] = [];
  wishes = 0;

  send(bytes: Buffer): void {
    this.sent.push(bytes);
    this.copies.push(Buffer.from(bytes));
  }

  wantsFlush(): void {
    this.wishes += 1;
  }
}

function readBack(output: Output, digests: boolean): string[] {
  const seen: string[] = [];
  const parser = new PduParser(
    {
      placeFor: () => null,
      onPdu: (header, at, data) => seen.push(`${header[at]}:${data.toString('hex')}`),
      onViolation: (violation) => seen.push(violation),
    },
    2 ** 24,
  );
  parser.headerDigest = digests;
  parser.dataDigest = digests;
  for (const bytes of output.sent) parser.feed(bytes);
  return seen;
}

function isUntouched(output: Output): boolean {
  return output.sent.every((bytes, index) => bytes.equals(output.copies[index] as Buffer));
}

describe('the PDU writer', () => {
  test('what it writes is what the parser reads, with and without digests', () => {
    const pdu = fc.record({
      opcode: fc.integer({ min: 1, max: 63 }),
      length: fc.oneof(fc.constant(0), fc.nat(300), fc.nat(9000)),
      flushes: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(pdu, { maxLength: 40 }), fc.boolean(), (list, digests) => {
        const output = new Output();
        const writer = new PduWriter(output);
        writer.headerDigest = digests;
        writer.dataDigest = digests;
        const expected = list.map(({ opcode, length, flushes }, index) => {
          const data = Buffer.alloc(length, index);
          const at = writer.begin();
          writer.bytes[at] = opcode;
          if (length === 0) writer.end(at);
          else writer.endWith(at, data);
          if (flushes) writer.flush();
          return `${opcode}:${data.toString('hex')}`;
        });
        writer.flush();
        expect(readBack(output, digests)).toEqual(expected);
        // What was handed over is never touched again.
        expect(isUntouched(output)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test('goes on in a new slab when one is full', () => {
    const output = new Output();
    const writer = new PduWriter(output);
    for (let index = 0; index < 3000; index += 1) {
      const at = writer.begin();
      writer.bytes[at] = 1 + (index % 60);
      writer.endWith(at, Buffer.alloc(index % 23, index));
    }
    writer.flush();
    expect(output.sent.length).toBeGreaterThan(2);
    expect(isUntouched(output)).toBe(true);
    const seen = readBack(output, false);
    expect(seen).toHaveLength(3000);
    expect(seen[2999]).toBe(`${1 + (2999 % 60)}:${Buffer.alloc(2999 % 23, 2999).toString('hex')}`);
  });

  test('neighbours leave as one buffer, large data as the very buffer it came in', () => {
    const output = new Output();
    const writer = new PduWriter(output);
    for (let index = 0; index < 10; index += 1) writer.end(writer.begin());
    const large = Buffer.alloc(4096);
    writer.endWith(writer.begin(), large);
    writer.end(writer.begin());
    writer.flush();
    expect(output.sent.map((bytes) => bytes.length)).toEqual([11 * 48, 4096, 48]);
    expect(output.sent[1]).toBe(large);
  });

  test('asks once for a flush until it comes', () => {
    const output = new Output();
    const writer = new PduWriter(output);
    writer.end(writer.begin());
    writer.end(writer.begin());
    expect(output.wishes).toBe(1);
    writer.flush();
    writer.end(writer.begin());
    expect(output.wishes).toBe(2);
    writer.flush();
    writer.flush();
    expect(output.sent).toHaveLength(2);
  });
});

describe('serial numbers', () => {
  test('order across the wrap of 32 bits', () => {
    expect(distance(5, 3)).toBe(2);
    expect(distance(next(0xffffffff | 0), 0xffffffff | 0)).toBe(1);
    expect(next(0x7fffffff)).toBe(-0x80000000);
    expect(distance(next(0x7fffffff), 0x7fffffff)).toBe(1);
    expect(distance(0x7ffffffe, next(0x7fffffff))).toBe(-2);
  });
});
