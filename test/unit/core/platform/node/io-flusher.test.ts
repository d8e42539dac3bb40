import { execFileSync } from 'node:child_process';
import { expect } from '@jest/globals';
import { ioFlusher } from '../../../../../core/platform/node/index.ts';
import { needs } from '../../../../fixtures/needs.ts';

/** PF_MEMALLOC_NOIO in the flags of /proc/PID/stat (proc(5), field 9). */
const NO_IO_FLAG = 0x8_0000;

function childIsFlusher(): boolean {
  const stat = execFileSync('cat', ['/proc/self/stat'], { encoding: 'latin1' });
  const flags = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
  return (flags & NO_IO_FLAG) !== 0;
}

needs({ linux: true }).test(
  'an I/O flusher starts I/O flushers, and one that is not permitted says what it lacks',
  () => {
    const mark = ioFlusher();
    const lack = mark(true);
    if (lack === null) {
      expect(childIsFlusher()).toBe(true);
      expect(mark(false)).toBeNull();
    } else {
      expect(lack).toMatch(/I\/O flusher, CAP_SYS_RESOURCE is needed \(prctl: EPERM\)/);
    }
    expect(childIsFlusher()).toBe(false);
  },
);
