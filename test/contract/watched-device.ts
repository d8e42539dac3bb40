import { assert } from '../../core/assert.ts';
import type { BlockDevice, BlockError } from '../../core/block/block-device.ts';

export interface OpenedDevice {
  readonly device: BlockDevice;
  close(): Promise<void>;
  /** Waits for a promise of the device: a simulated one needs its simulation run meanwhile. */
  readonly drive?: <Value>(promise: Promise<Value>) => Promise<Value>;
}

/** How one call ended. */
export interface Outcome {
  readonly error: BlockError | null;
  readonly data: Buffer;
}

const NONE = Buffer.alloc(0);

/** A device whose every call is watched: `done` comes exactly once, and not within the call. */
export class WatchedDevice {
  readonly opened: OpenedDevice;
  #calls = 0;
  #dones = 0;
  #complaint: string | null = null;

  constructor(opened: OpenedDevice) {
    this.opened = opened;
  }

  get sizeBytes(): number {
    return this.opened.device.sizeBytes;
  }

  tryRead(offsetBytes: number, lengthBytes: number): Promise<Outcome> {
    return this.#watch('read', (done) => {
      this.opened.device.read(offsetBytes, lengthBytes, (error, data) => done(error, data));
    });
  }

  tryWrite(offsetBytes: number, data: Buffer): Promise<Outcome> {
    return this.#watch('write', (done) => {
      this.opened.device.write(offsetBytes, data, (error) => done(error, NONE));
    });
  }

  tryUnmap(offsetBytes: number, lengthBytes: number): Promise<Outcome> {
    return this.#watch('unmap', (done) => {
      this.opened.device.unmap(offsetBytes, lengthBytes, (error) => done(error, NONE));
    });
  }

  tryFlush(): Promise<Outcome> {
    return this.#watch('flush', (done) => {
      this.opened.device.flush((error) => done(error, NONE));
    });
  }

  /** Throws the device's error; so do the three below. */
  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const { error, data } = await this.tryRead(offsetBytes, lengthBytes);
    if (error !== null) throw error;
    assert(data.length === lengthBytes, 'a read gives exactly what was asked for');
    return data;
  }

  async write(offsetBytes: number, data: Buffer): Promise<void> {
    throwIfFailed(await this.tryWrite(offsetBytes, data));
  }

  async unmap(offsetBytes: number, lengthBytes: number): Promise<void> {
    throwIfFailed(await this.tryUnmap(offsetBytes, lengthBytes));
  }

  async flush(): Promise<void> {
    throwIfFailed(await this.tryFlush());
  }

  /** Throws when a call was not answered exactly once, after it had returned. */
  check(): void {
    assert(this.#complaint === null, `every call is answered as promised: ${this.#complaint}`);
    assert(this.#dones === this.#calls, 'every call that was waited for is answered once');
  }

  async close(): Promise<void> {
    // Answers that come twice come before this one.
    await this.tryFlush();
    await this.opened.close();
    this.check();
  }

  #watch(
    what: string,
    start: (done: (error: BlockError | null, data: Buffer) => void) => void,
  ): Promise<Outcome> {
    this.#calls += 1;
    const ended = new Promise<Outcome>((resolve) => {
      let returned = false;
      let dones = 0;
      start((error, data) => {
        this.#dones += 1;
        dones += 1;
        if (!returned) this.#complaint ??= `a ${what} was answered within the call`;
        if (dones > 1) this.#complaint ??= `a ${what} was answered twice`;
        resolve({ error, data });
      });
      returned = true;
    });
    return this.opened.drive === undefined ? ended : this.opened.drive(ended);
  }
}

function throwIfFailed({ error }: Outcome): void {
  if (error !== null) throw error;
}
