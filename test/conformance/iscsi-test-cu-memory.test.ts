/** libiscsi's suite against the iSCSI and SCSI layers alone. */
import { expect } from '@jest/globals';
import { MemoryBlockDevice } from '../../core/block/memory-block-device.ts';
import { MiB } from '../../core/units.ts';
import { serveIscsi } from '../fixtures/iscsi-over-memory.ts';
import { needs } from '../fixtures/needs.ts';
import { countsText, runIscsiTestCu } from './iscsi-test-cu.ts';

const TIMEOUT_MS = 1_000_000;
/** What ran and passed when this was written; only ever raised. */
const PASSED_MIN = 469;

needs({ linux: true, command: ['iscsi-test-cu'] }).test(
  'no test of iscsi-test-cu fails over memory, with two paths',
  async () => {
    const served = await serveIscsi({ device: new MemoryBlockDevice({ sizeBytes: 256 * MiB }) });
    await using _portal = served.portal;
    const counts = await runIscsiTestCu(served.url, served.url);
    process.stdout.write(`${countsText('memory', counts)}\n`);
    expect(counts.failed).toEqual([]);
    expect(counts.passed).toBeGreaterThanOrEqual(PASSED_MIN);
  },
  TIMEOUT_MS,
);
