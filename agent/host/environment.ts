/** What a program started by the agent gets of the agent's own environment: no secrets. */
const PASSED_ON = ['HOME', 'TZ', 'UV_THREADPOOL_SIZE'];
const SYSTEM_FOLDERS = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];

export function systemEnvironment(
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const environment: Record<string, string> = { LC_ALL: 'C' };
  for (const name of PASSED_ON) {
    const value = own[name];
    if (value !== undefined) environment[name] = value;
  }
  const folders = (own['PATH'] ?? '').split(':').filter((folder) => folder.startsWith('/'));
  environment['PATH'] = [...new Set([...folders, ...SYSTEM_FOLDERS])].join(':');
  return environment;
}
