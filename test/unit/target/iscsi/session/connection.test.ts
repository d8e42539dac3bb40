import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { crc32c } from '../../../../../core/crc32c/index.ts';
import { MiB } from '../../../../../core/units.ts';
import { PduParser } from '../../../../../target/iscsi/pdu/parser.ts';
import { Connection } from '../../../../../target/iscsi/session/connection.ts';
import { HeldDevice } from '../../../../fixtures/held-device.ts';
import {
  ConnectionUnderTest,
  FakePort,
  fieldsOf,
  loginStatusOf,
  makeTarget,
} from '../../../../fixtures/iscsi-connection.ts';
import { ANSWER, encodeText, FINAL, REQUEST } from '../../../../fixtures/iscsi-pdu.ts';
import { settle } from '../../../../fixtures/manual-clock.ts';
import { cdb10 } from '../../../../fixtures/scsi-unit.ts';

const TEST_UNIT_READY = Buffer.alloc(16);
const write = (block: number) => ({ cdb: cdb10(0x2a, block, 1), data: Buffer.alloc(512) });

describe('a login', () => {
  test('opens a session with a handle of its own, and a unit attention', () => {
    const { target } = makeTarget();
    const initiator = new ConnectionUnderTest(target);
    const answer = initiator.login();
    expect(fieldsOf(answer)).toMatchObject({ opcode: ANSWER.login, flags: 0x87 });
    expect(loginStatusOf(answer)).toBe(0);
    expect(answer.header.toString('hex', 8, 14)).toBe('800000010000');
    expect(answer.header.readUInt16BE(14)).not.toBe(0);
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 2, senseCode: 0x2900 });
    const other = new ConnectionUnderTest(target).login({}, { isid: 2 });
    expect(other.header.readUInt16BE(14)).not.toBe(answer.header.readUInt16BE(14));
  });

  test.each([
    ['a name that is not admitted', {}, {}, 0x0202],
    ['a session handle of nobody', {}, { tsih: 999 }, 0x020a],
    ['a target that is not here', { TargetName: 'iqn.other' }, {}, 0x0203],
  ])('with %s is refused, and closed', (_, keys, options, status) => {
    const { target } = makeTarget({ admits: () => status !== 0x0202 });
    const initiator = new ConnectionUnderTest(target);
    expect(loginStatusOf(initiator.login(keys, options))).toBe(status);
    expect(initiator.port.closed).toBe('end');
    expect(target.sessions.size).toBe(0);
  });

  test('that would add a connection to a session is refused', () => {
    const { target } = makeTarget();
    const first = new ConnectionUnderTest(target).login();
    const second = new ConnectionUnderTest(target);
    const options = { tsih: first.header.readUInt16BE(14) };
    expect(loginStatusOf(second.login({}, options))).toBe(0x0206);
  });

  test('of one session too many is refused, but one that replaces another is not', () => {
    const { target } = makeTarget();
    for (let isid = 0; isid < 32; isid += 1) {
      new ConnectionUnderTest(target).open({}, { isid });
    }
    const late = new ConnectionUnderTest(target).login({}, { isid: 32 });
    expect(loginStatusOf(late)).toBe(0x0302);
    expect(loginStatusOf(new ConnectionUnderTest(target).login({}, { isid: 5 }))).toBe(0);
  });

  test('that does not come within 15 seconds closes the connection', () => {
    const { target } = makeTarget();
    const initiator = new ConnectionUnderTest(target);
    for (let count = 0; count < 15; count += 1) initiator.connection.tick();
    expect(initiator.port.closed).toBeNull();
    initiator.connection.tick();
    expect(initiator.port.closed).toBe('destroy');
    const logged = new ConnectionUnderTest(target).open();
    for (let count = 0; count < 9; count += 1) logged.connection.tick();
    expect(logged.port.closed).toBeNull();
  });

  test('anything but a login request closes the connection without an answer', () => {
    const { target } = makeTarget();
    const initiator = new ConnectionUnderTest(target);
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(initiator.answers()).toEqual([]);
    expect(initiator.port.closed).toBe('destroy');
  });

  test('a data segment of more than 8 KiB closes the connection', () => {
    const { target } = makeTarget();
    const initiator = new ConnectionUnderTest(target);
    initiator.sendLogin({ 'X-long': 'x'.repeat(9000) });
    expect(initiator.port.closed).toBe('end');
    expect(initiator.answers()).toEqual([]);
  });
});

describe('a session of the same initiator port', () => {
  test('R12: is replaced once what it gave to the device has settled', () => {
    const device = new HeldDevice(64 * MiB);
    const { target } = makeTarget({ device });
    const old = new ConnectionUnderTest(target).open();
    old.command(write(0));
    old.command(write(1));
    const fresh = new ConnectionUnderTest(target);
    fresh.sendLogin();
    expect(old.port.closed).toBe('destroy');
    device.finishNext();
    expect(fresh.answers()).toEqual([]);
    device.finishNext();
    expect(loginStatusOf(fresh.answer())).toBe(0);
    expect(old.answers()).toEqual([]);
    expect(target.sessions.size).toBe(1);
    fresh.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(fresh.answer())).toMatchObject({ senseCode: 0x2900 });
  });

  test('R12: drops at once what the device has nothing of', () => {
    const device = new HeldDevice(64 * MiB);
    const { target } = makeTarget({ device });
    const old = new ConnectionUnderTest(target).open({ ImmediateData: 'No' });
    old.command({ cdb: cdb10(0x2a, 0, 1), writes: true, expectedBytes: 512 });
    const fresh = new ConnectionUnderTest(target);
    expect(loginStatusOf(fresh.login())).toBe(0);
    expect(device.history).toEqual([]);
  });

  test('is closing already: the login waits for it all the same', () => {
    const device = new HeldDevice(64 * MiB);
    const { target } = makeTarget({ device });
    const old = new ConnectionUnderTest(target).open();
    old.command(write(0));
    old.connection.lost();
    const fresh = new ConnectionUnderTest(target);
    fresh.sendLogin();
    expect(fresh.answers()).toEqual([]);
    device.finishNext();
    expect(loginStatusOf(fresh.answer())).toBe(0);
  });

  test('of two logins that wait for it the last one stays', () => {
    const device = new HeldDevice(64 * MiB);
    const { target } = makeTarget({ device });
    new ConnectionUnderTest(target).open().command(write(0));
    const [one, two] = [new ConnectionUnderTest(target), new ConnectionUnderTest(target)];
    one.sendLogin();
    two.sendLogin();
    device.finishNext();
    expect(target.sessions.size).toBe(1);
    expect(one.port.closed).toBe('destroy');
    expect(loginStatusOf(two.answer())).toBe(0);
  });

  test('a login whose connection is gone meanwhile opens nothing', () => {
    const device = new HeldDevice(64 * MiB);
    const { target } = makeTarget({ device });
    new ConnectionUnderTest(target).open().command(write(0));
    const fresh = new ConnectionUnderTest(target);
    fresh.sendLogin();
    fresh.connection.lost();
    device.finishNext();
    expect(target.sessions.size).toBe(0);
    expect(fresh.answers()).toEqual([]);
  });

  test('that waits longer than a minute is given up', () => {
    const device = new HeldDevice(64 * MiB);
    const { target } = makeTarget({ device });
    new ConnectionUnderTest(target).open().command(write(0));
    const fresh = new ConnectionUnderTest(target);
    fresh.sendLogin();
    for (let count = 0; count < 61; count += 1) fresh.connection.tick();
    expect(fresh.port.closed).toBe('destroy');
    device.finishNext();
    expect(target.sessions.size).toBe(0);
  });

  test('of another initiator name, or with another ISID, is left alone', () => {
    const { target } = makeTarget();
    new ConnectionUnderTest(target).open();
    new ConnectionUnderTest(target).open({}, { isid: 2 });
    new ConnectionUnderTest(target).open({}, { initiatorName: 'iqn.2016-09.com.openebs:b' });
    new ConnectionUnderTest(target).open({}, { isDiscovery: true });
    expect(target.sessions.size).toBe(4);
  });
});

describe('a connection that is lost', () => {
  test('ends its session when the device has settled, and answers nothing', () => {
    const device = new HeldDevice(64 * MiB);
    const { target } = makeTarget({ device });
    const initiator = new ConnectionUnderTest(target).open();
    initiator.command(write(0));
    initiator.connection.lost();
    expect(target.sessions.size).toBe(1);
    device.finishAll();
    expect(target.sessions.size).toBe(0);
    expect(initiator.answers()).toEqual([]);
  });
});

describe('digests', () => {
  const keys = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' };

  function sealed(header: Buffer, data: Buffer): Buffer {
    const digestOf = (bytes: Buffer) => {
      const digest = Buffer.alloc(4);
      digest.writeUInt32LE(crc32c(bytes));
      return digest;
    };
    header.writeUIntBE(data.length, 5, 3);
    const padded = Buffer.concat([data, Buffer.alloc(-data.length & 3)]);
    const tail = data.length === 0 ? [] : [padded, digestOf(padded)];
    return Buffer.concat([header, digestOf(header), ...tail]);
  }

  function ping(): Buffer {
    const header = Buffer.alloc(48);
    header[0] = REQUEST.nopOut | 0x40;
    header[1] = FINAL;
    header.writeUInt32BE(3, 16);
    header.writeUInt32BE(0xffffffff, 20);
    return sealed(header, Buffer.from('hello'));
  }

  function opened() {
    const { target } = makeTarget();
    const initiator = new ConnectionUnderTest(target);
    // The login response itself has none.
    expect(loginStatusOf(initiator.login(keys))).toBe(0);
    return initiator;
  }

  test('hold from the PDU after the login on, both ways', () => {
    const initiator = opened();
    initiator.connection.receive(ping());
    initiator.connection.flush();
    const seen: string[] = [];
    const parser = new PduParser(
      {
        placeFor: () => null,
        onPdu: (header, at, data) => seen.push(`${header[at]} ${data.toString()}`),
        onViolation: (violation) => seen.push(violation),
      },
      8192,
    );
    parser.headerDigest = true;
    parser.dataDigest = true;
    for (const bytes of initiator.port.sent) parser.feed(bytes);
    expect(seen).toEqual([`${ANSWER.nopIn} hello`]);
  });

  test('a wrong header digest closes the connection without a word', () => {
    const initiator = opened();
    const bytes = ping();
    bytes[17] = 0xff;
    initiator.connection.receive(bytes);
    expect(initiator.port.closed).toBe('end');
    expect(initiator.port.sent).toEqual([]);
  });

  test('a wrong data digest is rejected, then the connection closes', () => {
    const initiator = opened();
    const bytes = ping();
    bytes[53] = 0xff;
    initiator.connection.receive(bytes);
    expect(initiator.port.closed).toBe('end');
    const sent = Buffer.concat(initiator.port.sent);
    expect([sent[0], sent[2]]).toEqual([ANSWER.reject, 2]);
  });
});

describe('hostile bytes', () => {
  const opcodes = fc.constantFrom(0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x10, 0x1f, 0x40, 0x41, 0x42);
  const pdu = fc.record({
    opcode: opcodes,
    flags: fc.nat(255),
    lengths: fc.constantFrom([0, 0], [0, 512], [0, 1], [1, 3], [0, 70_000]),
    taskTag: fc.nat(6),
    word20: fc.constantFrom(0, 512, 1024, 0xffffffff),
    number: fc.integer({ min: -3, max: 12 }),
    cdb: fc.constantFrom(
      [0x2a, 0, 0, 0, 0, 0, 0, 0, 2, 0],
      [0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0],
      [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
      [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
      [0xff],
    ),
    random: fc.option(fc.uint8Array({ minLength: 48, maxLength: 48 }), { freq: 8 }),
    offset: fc.constantFrom(0, 512, 0xffffff00),
  });

  test('in any order are answered or closed, nothing throws, and nothing is left behind', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(pdu, { maxLength: 25 }), fc.nat(400), async (pdus, cut) => {
        const { target } = makeTarget();
        const initiator = new ConnectionUnderTest(target).open({ InitialR2T: 'No' });
        const bytes = Buffer.concat(
          pdus.map((fields) => {
            const header = Buffer.alloc(48);
            if (fields.random !== null) header.set(fields.random);
            header[0] = fields.opcode;
            header[1] = fields.flags;
            const [ahsWords = 0, dataBytes = 0] = fields.lengths;
            header[4] = ahsWords;
            header.writeUIntBE(dataBytes, 5, 3);
            header.writeUInt32BE(fields.taskTag, 16);
            header.writeUInt32BE(fields.word20, 20);
            header.writeInt32BE(initiator.commandNumber + fields.number, 24);
            header.set(fields.cdb, 32);
            if (fields.opcode === 0x05) header.writeUInt32BE(fields.offset, 40);
            return Buffer.concat([
              header,
              Buffer.alloc(ahsWords * 4 + dataBytes + (-dataBytes & 3), 1),
            ]);
          }),
        );
        for (let at = 0; at < bytes.length; at += cut + 1) {
          initiator.connection.receive(Buffer.from(bytes.subarray(at, at + cut + 1)));
          if (at % 7 === 0) await Promise.resolve();
        }
        await settle();
        initiator.answers();
        expect(initiator.port.sent).toEqual([]);
        initiator.connection.lost();
        await settle();
        expect(target.sessions.size).toBe(0);
      }),
      { numRuns: 40 },
    );
  });

  test('before the login are answered or closed, and nothing throws', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), fc.boolean(), (chunks, asLogin) => {
        const { target } = makeTarget();
        const connection = new Connection(target, new FakePort());
        for (const chunk of chunks) {
          const bytes = Buffer.from(chunk);
          if (asLogin && bytes.length > 48) {
            bytes[0] = 0x43;
            bytes[4] = 0;
            bytes.writeUIntBE(bytes.length - 48, 5, 3);
            encodeText({ InitiatorName: 'x' }).copy(bytes, 48);
          }
          connection.receive(bytes);
        }
        connection.lost();
        expect(target.sessions.size).toBe(0);
      }),
      { numRuns: 150 },
    );
  });
});
