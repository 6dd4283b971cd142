import { Alert, List, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { DockerfileDetail } from '#hub/protocol/index.ts';
import { dockerfileQuery, type ImageName } from '../image-api.ts';
import { CodeView } from './code-view.tsx';
import { CopyLine } from './copy-line.tsx';
import { QueryView } from './states.tsx';

const ATTACH = 'docker build --label "slipway.dockerfile=$(cat Dockerfile)" -t NAME .';

/** The Dockerfile, and which of the two it is. */
export function ImageDockerfile({ name, index }: { readonly name: ImageName; readonly index: string }) {
  const dockerfile = useQuery(dockerfileQuery(name, index));
  return <QueryView query={dockerfile}>{(detail) => <Dockerfile detail={detail} />}</QueryView>;
}

function Dockerfile({ detail }: { readonly detail: DockerfileDetail }) {
  if (detail.kind === 'none')
    return (
      <Stack>
        <Text>
          This image carries no Dockerfile, and it has no history from which one could be reconstructed.
        </Text>
        <HowToAttach />
      </Stack>
    );
  const lines = detail.lines.map(({ text, layer }, at) => {
    const isLast = layer !== null && detail.lines[at + 1]?.layer !== layer;
    return isLast ? { text, note: `layer ${layer + 1}` } : { text };
  });
  return (
    <Stack>
      {detail.kind === 'carried' ? (
        <Alert color="teal" variant="light" title="The Dockerfile that came with the image">
          <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
            Whoever pushed the image attached it: it is in {detail.source}. The hub shows it as it is; it does
            not prove that the image was built from it.
          </Text>
        </Alert>
      ) : (
        <Alert color="yellow" variant="light" title="Reconstructed, not the original">
          <Text size="sm">
            Nobody attached a Dockerfile, so this one is read off {detail.source}. It shows what was done, not
            how it was written.
          </Text>
          {detail.gaps.length > 0 && (
            <List size="sm" mt={6}>
              {detail.gaps.map((gap) => (
                <List.Item key={gap}>{gap}</List.Item>
              ))}
            </List>
          )}
        </Alert>
      )}
      <CodeView lines={lines} label="the Dockerfile" />
      {detail.kind === 'reconstructed' && <HowToAttach />}
    </Stack>
  );
}

function HowToAttach() {
  return (
    <Stack gap={6}>
      <Text size="sm" c="dimmed">
        The original appears here when the image carries it: in a label, in BuildKit's provenance (mode=max),
        or as a referrer that holds a file named Dockerfile.
      </Text>
      <CopyLine text={ATTACH} label="the command that keeps the Dockerfile" />
    </Stack>
  );
}
