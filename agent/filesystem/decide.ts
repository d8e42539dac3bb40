/** May a file system be made on this device? Pure: the record and the device in, the answer out. */
import type { FileSystemState } from '../../core/volume/record.ts';
import type { Content } from './probe.ts';

export type Decision =
  | { readonly kind: 'mount'; readonly uuid: string }
  | { readonly kind: 'format' }
  /** Evidence of loss or of a mix-up: nothing is touched until an operator has looked. */
  | { readonly kind: 'refuse'; readonly reason: string };

/**
 *     record        device           answer
 *     blank         blank            format
 *     blank         anything else    refuse: the record says it was never written
 *     formatting    own uuid         format: a crash came between mkfs and its commit, and nothing
 *                                    is ever mounted before that commit
 *     formatting    blank, data      format: mkfs was cut short
 *     formatting    anything else    refuse
 *     formatted     own uuid         mount
 *     formatted     anything else    refuse
 *
 * The uuid is chosen before mkfs and committed with `formatting`, so that a half-made file system
 * of our own is told from one that somebody else made.
 */
export function decide(state: FileSystemState, content: Content): Decision {
  switch (state.state) {
    case 'blank':
      if (content.kind === 'blank') return { kind: 'format' };
      return refuse(`it should be blank and holds ${describe(content)}`);
    case 'formatting':
      if (content.kind === 'blank' || content.kind === 'data') return { kind: 'format' };
      if (isOwn(state, content)) return { kind: 'format' };
      return refuse(`it was being formatted as ${state.uuid} and holds ${describe(content)}`);
    case 'formatted': {
      if (state.uuid === null) return refuse('the record knows no uuid of its file system');
      if (isOwn(state, content)) return { kind: 'mount', uuid: state.uuid };
      return refuse(`it should hold ${state.kind} ${state.uuid} and holds ${describe(content)}`);
    }
  }
}

function isOwn(state: FileSystemState, content: Content): boolean {
  if (content.kind !== 'fileSystem' || state.uuid === null) return false;
  return content.type === state.kind && content.uuid === state.uuid;
}

function refuse(reason: string): Decision {
  return { kind: 'refuse', reason };
}

function describe(content: Content): string {
  switch (content.kind) {
    case 'blank':
      return 'nothing: all its marks are zeros';
    case 'fileSystem':
      return `${content.type} ${content.uuid ?? 'without a uuid'}`;
    case 'data':
      return 'data without a known signature';
    case 'foreign':
      return content.what;
  }
}
