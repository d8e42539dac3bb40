import { expect, test } from '@jest/globals';
import { COMMON_OPTIONS, ProgramArguments } from '../../../../core/config/program-arguments.ts';

const program = new ProgramArguments('maya thing');
const OPTIONS = { state: { type: 'string' }, ...COMMON_OPTIONS } as const;

test('an unknown option is named back with the list of valid ones', () => {
  expect(() => program.values(['--wrong'], OPTIONS)).toThrow(
    expect.objectContaining({
      name: 'UsageError',
      message:
        "Unknown option '--wrong'; valid options: --state, --log-level, --log-format, --help; " +
        'maya thing --help tells more',
    }),
  );
});

test.each([
  [['state'], /Unexpected argument 'state'/],
  [['--state'], /'--state <value>' argument missing/],
  [['--help=yes'], /'-h, --help' does not take an argument/],
])('%j is refused', (argv, sentence) => {
  expect(() => program.values(argv, OPTIONS)).toThrow(sentence);
});

test('what was given is there, and nothing else', () => {
  expect({ ...program.values(['--state', '/s', '-h'], OPTIONS) }).toEqual({
    state: '/s',
    help: true,
  });
});

test('logs are JSON from info up, unless told otherwise', () => {
  expect(program.logging({})).toEqual({ level: 'info', format: 'json' });
  const told = { 'log-level': 'debug', 'log-format': 'text' };
  expect(program.logging(told)).toEqual({ level: 'debug', format: 'text' });
  expect(() => program.logging({ 'log-level': 'loud' })).toThrow(
    '--log-level loud: give one of error, warn, info, debug; maya thing --help tells more',
  );
});

test.each(['unix:/run/a.sock', 'http://127.0.0.1:8080'])(
  '%s is an address of a service',
  (address) => {
    expect(program.address('agent', address)).toBe(address);
  },
);

test.each([
  '',
  'unix:',
  'unix:a.sock',
  'http://127.0.0.1',
  'http://10.0.0.1:80',
  'http://127.0.0.1:80/x',
  'https://127.0.0.1:80',
])('"%s" is none', (address) => {
  expect(() => program.address('agent', address)).toThrow(
    'give unix:/path or http://127.0.0.1:PORT',
  );
});
