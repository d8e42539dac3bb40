/** The volume's record, as far as the agent may change it: the state of its file system (R1). */
import { ApiError, type ApiserverClient, apiError } from '../../core/api/index.ts';
import { type FileSystemState, parseRecord, type VolumeRecord } from '../../core/volume/record.ts';

export interface RecordAccess {
  /** The state as committed now. @throws ApiError */
  read(): Promise<FileSystemState>;
  /**
   * Commits `next` if the state still is `expected`. Other parts of the record may change
   * meanwhile: then it is tried again on the new version.
   * @throws ApiError conflict when the state is not as expected any more.
   */
  change(expected: FileSystemState, next: FileSystemState): Promise<void>;
}

/** A target that starts or removes a member swaps too; it does not do so for ever. */
const ATTEMPTS_MAX = 20;

export function recordAccess(
  volumeId: string,
  apiserver: ApiserverClient,
  noteRevision: (revision: number) => void,
): RecordAccess {
  const get = async () => {
    const answer = await apiserver.getRecord(volumeId);
    noteRevision(answer.revision);
    return { version: answer.version, record: parseRecord(answer.record) };
  };
  return {
    read: async () => (await get()).record.fileSystem,
    change: async (expected, next) => {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
        const { version, record } = await get();
        if (equal(record.fileSystem, next)) return;
        if (!equal(record.fileSystem, expected)) throw changed(volumeId);
        if (await put(apiserver, version, withFileSystem(record, next))) return;
      }
      throw apiError('unavailable', `the record of volume ${volumeId} changes all the time`);
    },
  };
}

/**
 * False: try again. Also when the outcome is unknown (no answer): the next look at the record
 * tells whether it was committed, and the swap on the old version settles the question.
 */
async function put(
  apiserver: ApiserverClient,
  version: number,
  record: VolumeRecord,
): Promise<boolean> {
  try {
    const body = { version, record, actor: { kind: 'agent' } as const };
    await apiserver.putRecord(record.volumeId, body);
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.code === 'conflict') return false;
    if (error instanceof ApiError && error.code === 'unavailable') return false;
    throw error;
  }
}

function withFileSystem(record: VolumeRecord, fileSystem: FileSystemState): VolumeRecord {
  return { ...record, fileSystem, generation: record.generation + 1 };
}

function equal(one: FileSystemState, other: FileSystemState): boolean {
  return one.kind === other.kind && one.uuid === other.uuid && one.state === other.state;
}

function changed(volumeId: string) {
  return apiError(
    'conflict',
    `the file system state of volume ${volumeId} was changed by somebody else meanwhile`,
    { volume: volumeId },
  );
}
