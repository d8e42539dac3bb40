/** How a volume's target becomes a block device of this node. */
import type { ProcessIdentity } from '../host/processes.ts';

export type AttachMethod = 'kernel' | 'userspace';

export interface DeviceRequest {
  readonly volumeId: string;
  readonly iqn: string;
  /** `127.0.0.1:PORT` */
  readonly portal: string;
  /** The name under which this node logs in. */
  readonly initiatorName: string;
}

export type DeviceName = Pick<DeviceRequest, 'volumeId' | 'iqn' | 'portal'>;

export interface AttachedDevice {
  /** `/dev/loop3`, `/dev/sdb` */
  readonly device: string;
  /** What keeps it alive in user space; empty with the kernel's initiator. */
  readonly processes: readonly ProcessIdentity[];
}

export interface DeviceAttacher {
  readonly method: AttachMethod;
  /** Removes what is left of an earlier attempt first; on failure nothing stays behind. */
  attach(request: DeviceRequest): Promise<AttachedDevice>;
  /** Null: in order. Otherwise one sentence that says what is missing. */
  damage(request: DeviceRequest, attached: AttachedDevice): Promise<string | null>;
  /**
   * Removes everything that belongs to the volume, found by looking at the machine and not by
   * what was written down. Nothing there: fine. @throws Error when something does not go away.
   */
  detach(request: DeviceName): Promise<void>;
  /** As `detach`, although somebody uses it: who does gets I/O errors instead of hanging. */
  destroy(request: DeviceName): Promise<void>;
}
