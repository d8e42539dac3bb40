/** `make image`: the image as one file in the working folder. */
import { resolve } from 'node:path';
import { MAYA_IMAGE, writeMayaImage } from './maya-image.ts';

const file = resolve(process.argv[2] ?? 'openebs-maya.tar');
await writeMayaImage(file);
process.stdout.write(`${MAYA_IMAGE} is in ${file}; load it with one of\n`);
process.stdout.write(
  `  ctr --namespace k8s.io images import ${file}\n  docker load --input ${file}\n`,
);
