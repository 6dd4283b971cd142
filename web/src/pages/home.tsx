import { Button, Card, Group, SegmentedControl, Stack, Stepper, Text, TextInput, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, Navigate } from '@tanstack/react-router';
import { useState } from 'react';
import type { Account, GuideState } from '#hub/protocol/index.ts';
import { guideQuery, repositoriesQuery, sessionQuery } from '../api.ts';
import { CopyLine } from '../parts/copy-line.tsx';
import { RepositoryTable } from '../parts/repository-table.tsx';
import { QueryView } from '../parts/states.tsx';

/** The start page: my repositories, and the guide until the first image is here. */
export function HomePage() {
  const session = useQuery(sessionQuery);
  return (
    <QueryView query={session}>
      {({ account, isFirstRun, registryHost }) =>
        account === null ? (
          <Navigate to={isFirstRun ? '/signup' : '/explore'} />
        ) : (
          <Repositories account={account} host={registryHost} />
        )
      }
    </QueryView>
  );
}

function Repositories({ account, host }: { readonly account: Account; readonly host: string }) {
  const [filter, setFilter] = useState('');
  const [namespace, setNamespace] = useState(account.username);
  const repositories = useQuery(repositoriesQuery({ namespace }));
  const guide = useQuery(guideQuery);
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={1} size="h2">
          Repositories
        </Title>
        <Button component={Link} to="/new">
          Create repository
        </Button>
      </Group>
      {guide.data !== undefined && !guide.data.pushedTag && (
        <Guide state={guide.data} account={account} host={host} />
      )}
      {account.isAdmin && (
        <Group>
          <SegmentedControl
            size="sm"
            data={[account.username, 'library']}
            value={namespace}
            onChange={setNamespace}
            aria-label="Namespace"
          />
        </Group>
      )}
      <QueryView query={repositories}>
        {(all) => {
          const shown = all.filter((repository) => repository.name.includes(filter));
          if (all.length === 0) return <Text c="dimmed">There are no repositories in {namespace} yet.</Text>;
          return (
            <>
              {all.length > 5 && (
                <TextInput
                  aria-label="Filter repositories"
                  placeholder="Filter by name"
                  value={filter}
                  onChange={(event) => setFilter(event.currentTarget.value)}
                  maw={320}
                />
              )}
              {shown.length === 0 ? (
                <Text c="dimmed">No repository has this in its name.</Text>
              ) : (
                <RepositoryTable repositories={shown} />
              )}
            </>
          );
        }}
      </QueryView>
    </Stack>
  );
}

/** Four steps to the first image; each is ticked when the hub has seen it happen. */
function Guide({
  state,
  account,
  host,
}: {
  readonly state: GuideState;
  readonly account: Account;
  readonly host: string;
}) {
  const repository = state.repository ?? `${account.username}/demo-push`;
  const steps = [
    {
      title: 'Sign in from the command line',
      done: state.signedInByClient,
      commands: [`docker login -u ${account.username} ${host}`],
    },
    { title: 'Build your image', done: state.pushedTag, commands: ['docker build -t demo-push:v1 .'] },
    {
      title: 'Create a repository and name the image after it',
      done: state.createdRepository,
      commands: [`docker tag demo-push:v1 ${host}/${repository}:v1`],
    },
    { title: 'Push', done: state.pushedTag, commands: [`docker push ${host}/${repository}:v1`] },
  ];
  const active = steps.findIndex((step) => !step.done);
  return (
    <Card withBorder p="lg" component="section" aria-labelledby="guide">
      <Title order={2} size="h4" id="guide" mb="md">
        Your first image
      </Title>
      <Stepper
        active={active < 0 ? steps.length : active}
        orientation="vertical"
        size="sm"
        iconSize={28}
        allowNextStepsSelect={false}
      >
        {steps.map((step) => (
          <Stepper.Step
            key={step.title}
            label={step.title}
            description={
              <Stack gap={6} mt={6}>
                {step.commands.map((command) => (
                  <CopyLine key={command} text={command} label={`the command: ${step.title}`} />
                ))}
              </Stack>
            }
            styles={{ stepBody: { minWidth: 0, flex: 1 } }}
          />
        ))}
      </Stepper>
    </Card>
  );
}
