import { Code, Stack, Table, Text } from '@mantine/core';
import type { HealthcheckDetail, ImageDetail } from '#hub/protocol/index.ts';

const SECOND_NS = 1_000_000_000;

/** What a container takes from the image. */
export function ImageConfig({ image }: { readonly image: ImageDetail }) {
  const { config } = image;
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['Entrypoint', listOf(config.entrypoint)],
    ['Command', listOf(config.cmd)],
    ['User', [config.user || 'root (the image names none)']],
    ['Working directory', [config.workingDir || '/']],
    ['Environment', config.env],
    ['Ports', config.exposedPorts],
    ['Volumes', config.volumes],
    ['Labels', Object.entries(config.labels).map(([key, value]) => `${key}=${value}`)],
    ['Stop signal', [config.stopSignal || 'SIGTERM (the default)']],
    ['Health check', healthcheckOf(config.healthcheck)],
    ['Shell', listOf(config.shell)],
    ['On build', config.onBuild],
    ['Author', image.author === '' ? [] : [image.author]],
  ];
  return (
    <Table aria-label="Config" verticalSpacing="sm" layout="fixed">
      <Table.Tbody>
        {rows.map(([name, values]) => (
          <Table.Tr key={name}>
            <Table.Th w={{ base: 110, sm: 180 }} style={{ verticalAlign: 'top' }}>
              {name}
            </Table.Th>
            <Table.Td style={{ verticalAlign: 'top' }}>
              {values.length === 0 ? (
                <Text size="sm" c="dimmed">
                  none
                </Text>
              ) : (
                <Stack gap={4} align="flex-start">
                  {values.map((value) => (
                    <Code
                      key={value}
                      style={{ overflowWrap: 'anywhere', whiteSpace: 'pre-wrap', maxWidth: '100%' }}
                    >
                      {value}
                    </Code>
                  ))}
                </Stack>
              )}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function listOf(words: readonly string[]): readonly string[] {
  return words.length === 0 ? [] : [JSON.stringify(words)];
}

function healthcheckOf(check: HealthcheckDetail | null): readonly string[] {
  if (check === null) return [];
  const [kind, ...words] = check.test;
  if (kind === 'NONE') return ['switched off'];
  const command = kind === 'CMD-SHELL' ? words.join(' ') : JSON.stringify(words);
  const times = [
    ['every', check.interval, '30 s'],
    ['time limit', check.timeout, '30 s'],
    ['after', check.startPeriod, '0 s'],
  ] as const;
  const text = times.map(([word, value, usual]) => `${word} ${value === 0 ? usual : secondsOf(value)}`);
  return [command, `${text.join(', ')}, ${check.retries === 0 ? 3 : check.retries} tries`];
}

function secondsOf(nanoseconds: number): string {
  return `${Math.round((nanoseconds / SECOND_NS) * 1000) / 1000} s`;
}
