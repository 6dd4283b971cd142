import { Button, Card, Group, Stack, Text, Title, VisuallyHidden } from '@mantine/core';
import type { Account, GuideState } from '#hub/protocol/index.ts';
import { ClientSwitch, hubCommand, PlainNote, useClient } from './client.tsx';
import { CopyLine } from './copy-line.tsx';
import { LinkButton } from './links.tsx';
import classes from './parts.module.css';

interface GuideProps {
  readonly state: GuideState;
  readonly account: Account;
  readonly host: string;
  readonly onClose: () => void;
}

/**
 * Four steps to the first image. The hub ticks what it sees: a sign-in and a push. What happens on one's own machine is
 * ticked with the push that proves it, and the step says so.
 */
export function FirstImageGuide({ state, account, host, onClose }: GuideProps) {
  const [client] = useClient();
  const repository = state.repository ?? `${account.username}/demo-push`;
  const target = `${host}/${repository}:${state.tag ?? 'v1'}`;
  const steps = [
    {
      title: 'Sign in',
      hint: 'With your password or an access token. Ticked when a client has signed in here.',
      done: state.signedInByClient,
      command: hubCommand(client, 'login', `-u ${account.username} ${host}`),
    },
    {
      title: 'Build',
      hint: 'In the folder of your Dockerfile; mind the dot. This happens on your machine: the hub cannot see it, and ticks it with the push.',
      done: state.pushedTag,
      command: `${client} build -t demo-push:v1 .`,
    },
    {
      title: 'Tag',
      hint: 'The image gets the name of the place it goes to. Ticked with the push, too.',
      done: state.pushedTag,
      command: `${client} tag demo-push:v1 ${target}`,
    },
    {
      title: 'Push',
      hint: state.createdRepository
        ? 'Ticked as soon as the tag is here.'
        : 'A repository that does not exist yet is made, for you alone. Ticked as soon as the tag is here.',
      done: state.pushedTag,
      command: hubCommand(client, 'push', target),
    },
  ];
  const active = steps.findIndex((step) => !step.done);
  return (
    <Card withBorder p="lg" component="section" aria-labelledby="guide">
      <Group justify="space-between" mb="md">
        <Title order={2} size="h4" id="guide">
          Your first image
        </Title>
        <ClientSwitch />
      </Group>
      <PlainNote host={host} />
      <ol className={classes['steps'] ?? ''}>
        {steps.map((step, index) => (
          <li
            key={step.title}
            className={classes['step'] ?? ''}
            data-done={step.done || undefined}
            {...(index === active ? { 'aria-current': 'step' as const } : {})}
          >
            <span className={classes['stepMark'] ?? ''} aria-hidden="true">
              {step.done ? '✓' : index + 1}
            </span>
            <Stack gap={6} miw={0} flex={1}>
              <Text fw={600}>
                {step.title}
                {step.done && <VisuallyHidden> (done)</VisuallyHidden>}
              </Text>
              <Text size="sm" c="dimmed">
                {step.hint}
              </Text>
              <CopyLine text={step.command} label={`the command: ${step.title}`} />
            </Stack>
          </li>
        ))}
      </ol>
      {state.pushedTag && (
        <Group mt="md" role="status">
          <Text fw={600}>Your image is here.</Text>
          <LinkButton to="/r/$" params={{ _splat: repository }} search={{ reference: state.tag ?? 'v1' }}>
            Look into it
          </LinkButton>
          <Button variant="default" onClick={onClose}>
            Close the guide
          </Button>
        </Group>
      )}
    </Card>
  );
}
