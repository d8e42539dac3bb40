import { describe, expect, test } from '@jest/globals';
import { MemoryBlockDevice } from '../../../../core/block/memory-block-device.ts';
import { MiB } from '../../../../core/units.ts';
import { COMMANDS } from '../../../../target/scsi/commands/table.ts';
import { cdb10, UnitUnderTest } from '../../../fixtures/scsi-unit.ts';

const NAMED = COMMANDS.all.map((command) => [command.name, command] as const);

function reportOpcodes(option: number, opcode = 0, action = 0): number[] {
  return [0xa3, 0x0c, option, opcode, action >> 8, action & 0xff, 0, 0, 0xff, 0xff, 0, 0];
}

describe('every command', () => {
  test.each(NAMED)('%s refuses each reserved bit, and points at it', async (_, command) => {
    const unit = new UnitUnderTest({ device: new MemoryBlockDevice({ sizeBytes: MiB }) });
    for (let byteIndex = 1; byteIndex < command.usage.length; byteIndex += 1) {
      for (let bitIndex = 0; bitIndex < 8; bitIndex += 1) {
        if (((command.forbidden[byteIndex] ?? 0) & (1 << bitIndex)) === 0) continue;
        const cdb = Buffer.alloc(command.usage.length);
        cdb[0] = command.opcode;
        cdb[1] = command.serviceAction ?? 0;
        cdb[byteIndex] = (cdb[byteIndex] ?? 0) | (1 << bitIndex);
        const { sense } = await unit.send({ cdb });
        const field = { in: 'cdb', byteIndex, bitIndex };
        expect(sense).toEqual({ key: 5, code: 0x2400, field });
      }
    }
  });

  test('with random fields answers or refuses, and never throws', async () => {
    let seed = 12345;
    const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8;
    for (let round = 0; round < 3000; round += 1) {
      const unit = new UnitUnderTest({ device: new MemoryBlockDevice({ sizeBytes: MiB }) });
      const command = COMMANDS.all[random() % COMMANDS.all.length];
      if (command === undefined) continue;
      const cdb = Buffer.from(command.usage.map((bits) => bits & (random() & random())));
      cdb[0] = command.opcode;
      if (command.serviceAction !== null) cdb[1] = command.serviceAction;
      const dataOut = Buffer.alloc(random() % 2048, random());
      const { status } = await unit.send({ cdb, dataOut });
      expect([0, 2]).toContain(status);
    }
  });

  test('an opcode that is not known is refused as such', async () => {
    const unit = new UnitUnderTest();
    for (let opcode = 0; opcode < 256; opcode += 1) {
      if (COMMANDS.isKnown(opcode)) continue;
      expect((await unit.cdb([opcode])).sense).toEqual({ key: 5, code: 0x2000 });
    }
    expect(COMMANDS.isKnown(0x5f)).toBe(false);
  });
});

describe('REPORT SUPPORTED OPERATION CODES', () => {
  test('lists every command, with its timeouts where asked for', async () => {
    const unit = new UnitUnderTest();
    const plain = (await unit.cdb(reportOpcodes(0))).data;
    expect(plain.readUInt32BE(0)).toBe(COMMANDS.all.length * 8);
    const timed = (await unit.cdb(reportOpcodes(0x80))).data;
    expect(timed.readUInt32BE(0)).toBe(COMMANDS.all.length * 20);
    COMMANDS.all.forEach((command, index) => {
      const at = 4 + index * 20;
      expect(timed[at]).toBe(command.opcode);
      expect(timed.readUInt16BE(at + 2)).toBe(command.serviceAction ?? 0);
      expect(timed[at + 5]).toBe(command.serviceAction === null ? 2 : 3);
      expect(timed.readUInt16BE(at + 6)).toBe(command.usage.length);
      expect(timed.readUInt16BE(at + 8)).toBe(10);
    });
  });

  test.each(NAMED)('tells the usage map of %s', async (_, command) => {
    const unit = new UnitUnderTest();
    const option = command.serviceAction === null ? 1 : 2;
    const action = command.serviceAction ?? 0;
    const { data } = await unit.cdb(reportOpcodes(option, command.opcode, action));
    expect(data[1]).toBe(3);
    expect(data.subarray(4).equals(command.usage)).toBe(true);
    expect(data.readUInt16BE(2)).toBe(command.usage.length);
    const either = await unit.cdb(reportOpcodes(3, command.opcode, action));
    expect(either.data.equals(data)).toBe(true);
    const wrong = await unit.cdb(reportOpcodes(3 - option, command.opcode, action));
    expect(wrong.sense).toMatchObject({ code: 0x2400, field: { byteIndex: 2 } });
  });

  test('says of others that they are not supported', async () => {
    const unit = new UnitUnderTest();
    expect((await unit.cdb(reportOpcodes(1, 0x5f))).data[1]).toBe(1);
    expect((await unit.cdb(reportOpcodes(2, 0x9e, 0x12))).data[1]).toBe(1);
    expect((await unit.cdb(reportOpcodes(3, 0x28, 1))).data[1]).toBe(1);
    expect((await unit.cdb(reportOpcodes(4))).sense).toMatchObject({ code: 0x2400 });
  });

  test('task management functions are those that are carried out', async () => {
    const unit = new UnitUnderTest();
    const { data } = await unit.cdb([0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]);
    expect(data).toEqual(Buffer.from([0xd8, 0, 0, 0]));
  });
});

describe('MODE SENSE and MODE SELECT', () => {
  const senseAll = [0x1a, 0, 0x3f, 0, 255, 0];

  test('the write cache is on and volatile, DPO and FUA are taken', async () => {
    const { data } = await new UnitUnderTest().cdb(senseAll);
    expect(data[0]).toBe(data.length - 1);
    expect(data[2]).toBe(0x10);
    expect(data[3]).toBe(8);
    expect(data.readUInt32BE(4)).toBe(16384);
    expect(data.readUIntBE(9, 3)).toBe(512);
    expect([...data.subarray(12, 15)]).toEqual([0x08, 18, 0x04]);
    expect([...data.subarray(32, 37)]).toEqual([0x0a, 10, 0, 0x10, 0]);
    const bare = await new UnitUnderTest().cdb([0x1a, 0x08, 0x08, 0, 255, 0]);
    expect(bare.data).toHaveLength(4 + 20);
  });

  test('(10) has the long block descriptor where asked for', async () => {
    const { data } = await new UnitUnderTest().cdb([0x5a, 0x10, 0x0a, 0, 0, 0, 0, 0, 255, 0]);
    expect(data.readUInt16BE(0)).toBe(data.length - 2);
    expect(data[4]).toBe(1);
    expect(data.readUInt16BE(6)).toBe(16);
    expect(data.readBigUInt64BE(8)).toBe(16384n);
    expect(data.readUInt32BE(20)).toBe(512);
  });

  test.each([
    ['saved values', [0x1a, 0, 0xc8, 0, 255, 0], 0x3900],
    ['an unknown page', [0x1a, 0, 0x02, 0, 255, 0], 0x2400],
    ['an unknown subpage', [0x1a, 0, 0x08, 1, 255, 0], 0x2400],
  ])('refuses %s', async (_, cdb, code) => {
    expect((await new UnitUnderTest().cdb(cdb)).sense).toMatchObject({ key: 5, code });
  });

  const select = (page: readonly number[]) => ({
    cdb: [0x15, 0x10, 0, 0, 4 + page.length, 0],
    dataOut: Buffer.from([0, 0, 0, 0, ...page]),
  });
  const control = (byte2: number, byte4: number) =>
    select([0x0a, 10, byte2, 0x10, byte4, 0, 0, 0, 0xff, 0xff, 0, 0]);

  test('software write protection refuses writes, and is told to other sessions', async () => {
    const unit = new UnitUnderTest();
    const other = unit.newNexus('other');
    expect(await unit.send(control(0, 0x08))).toMatchObject({ status: 0 });
    const write = await unit.send({ cdb: cdb10(0x2a, 0, 1), dataOut: Buffer.alloc(512) });
    expect(write.sense).toEqual({ key: 7, code: 0x2702 });
    expect((await unit.cdb(senseAll)).data[2]).toBe(0x90);
    const told = await unit.send({ cdb: [0], nexus: other });
    expect(told.sense).toEqual({ key: 6, code: 0x2a01 });
    expect(await unit.send(control(0, 0))).toMatchObject({ status: 0 });
    expect(await unit.send({ cdb: cdb10(0x2a, 0, 1), dataOut: Buffer.alloc(512) })).toMatchObject({
      status: 0,
    });
  });

  test('the same values again change nothing and are told to nobody', async () => {
    const unit = new UnitUnderTest();
    const other = unit.newNexus('other');
    expect(await unit.send(control(0, 0))).toMatchObject({ status: 0 });
    expect(other.hasUnitAttention).toBe(false);
  });

  test.each([
    ['turn the cache off', select([0x08, 18, 0, ...Array<number>(17).fill(0)]), 0x2600],
    ['an unknown page', select([0x01, 2, 0, 0]), 0x2600],
    ['a page of a wrong length', select([0x0a, 2, 0, 0]), 0x2600],
    ['a page that is cut off', select([0x0a, 10, 0]), 0x1a00],
    ['pages to be saved', { ...control(0, 0), cdb: [0x15, 0x11, 0, 0, 16, 0] }, 0x2400],
    ['a list without a page format', { ...control(0, 0), cdb: [0x15, 0, 0, 0, 16, 0] }, 0x2400],
  ])('refuses to take %s', async (_, command, code) => {
    const unit = new UnitUnderTest();
    expect((await unit.send(command)).sense).toMatchObject({ key: 5, code });
    expect(unit.unit.mode.softwareWriteProtected).toBe(false);
  });
});

describe('READ DEFECT DATA', () => {
  test('lists no defects, in the format that was asked for', async () => {
    const unit = new UnitUnderTest();
    const short = await unit.cdb([0x37, 0, 0x1d, 0, 0, 0, 0, 0, 32, 0]);
    expect([...short.data]).toEqual([0, 0x1d, 0, 0]);
    const long = await unit.cdb([0xb7, 0x08, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]);
    expect([...long.data]).toEqual([0, 0x08, 0, 0, 0, 0, 0, 0]);
  });
});

describe('START STOP UNIT', () => {
  test('starts what runs, and refuses to stop, to eject and to sleep', async () => {
    const unit = new UnitUnderTest();
    expect(await unit.cdb([0x1b, 0, 0, 0, 1, 0])).toMatchObject({ status: 0 });
    for (const action of [0x00, 0x02, 0x03, 0x10]) {
      const { sense } = await unit.cdb([0x1b, 0, 0, 0, action, 0]);
      expect(sense).toMatchObject({ code: 0x2400, field: { byteIndex: 4 } });
    }
  });
});
