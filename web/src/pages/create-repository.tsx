import {
  Button,
  Card,
  Grid,
  Group,
  Radio,
  Select,
  Stack,
  Text,
  Textarea,
  TextInput,
  Title,
} from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Navigate, useNavigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import type { Account, RepositoryDetail, Visibility } from '#hub/protocol/index.ts';
import { call, sessionQuery } from '../api.ts';
import { ClientSwitch, hubCommand, useClient } from '../parts/client.tsx';
import { CopyLine } from '../parts/copy-line.tsx';
import { FormError, fieldError, QueryView } from '../parts/states.tsx';

const DESCRIPTION_MAX = 100;

/** The create form with the commands that will push to what is being typed. */
export function CreateRepositoryPage() {
  const session = useQuery(sessionQuery);
  return (
    <QueryView query={session}>
      {({ account, registryHost }) =>
        account === null ? (
          <Navigate to="/signin" search={{ next: '/new' }} />
        ) : (
          <CreateForm account={account} host={registryHost} />
        )
      }
    </QueryView>
  );
}

function CreateForm({ account, host }: { readonly account: Account; readonly host: string }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [tool] = useClient();
  const [namespace, setNamespace] = useState(account.username);
  const [name, setName] = useState('');
  const [description, setDescription] = useState('');
  const [readme, setReadme] = useState('');
  const [visibility, setVisibility] = useState<Visibility>('private');
  const mutation = useMutation({
    mutationFn: () =>
      call<RepositoryDetail>('POST', '/api/repositories', {
        namespace,
        name,
        description,
        visibility,
        readme,
      }),
    onSuccess: async (repository) => {
      await client.invalidateQueries({ queryKey: ['repositories'] });
      await navigate({ to: '/r/$', params: { _splat: `${repository.namespace}/${repository.name}` } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutation.mutate();
  };
  const target = `${host}/${namespace}/${name || 'repository'}:tagname`;
  const namespaces = account.isAdmin ? [account.username, 'library'] : [account.username];
  return (
    <Grid gap="xl">
      <Grid.Col span={{ base: 12, md: 7 }}>
        <form onSubmit={submit}>
          <Stack>
            <Title order={1} size="h2">
              Create repository
            </Title>
            <FormError error={mutation.error} fields={['name', 'description', 'namespace', 'readme']} />
            <Group align="flex-start" grow preventGrowOverflow={false} wrap="wrap">
              <Select
                label="Namespace"
                data={namespaces}
                value={namespace}
                onChange={(value) => setNamespace(value ?? account.username)}
                allowDeselect={false}
                error={fieldError(mutation.error, 'namespace')}
              />
              <TextInput
                label="Name"
                description={'Lower-case letters, digits, "-", "_" and "."'}
                inputWrapperOrder={['label', 'input', 'description', 'error']}
                value={name}
                onChange={(event) => setName(event.currentTarget.value.toLowerCase())}
                error={fieldError(mutation.error, 'name')}
                maxLength={255}
                required
                data-autofocus
              />
            </Group>
            <TextInput
              label="Short description"
              description={`${description.length} of ${DESCRIPTION_MAX} characters`}
              inputWrapperOrder={['label', 'input', 'description', 'error']}
              value={description}
              maxLength={DESCRIPTION_MAX}
              onChange={(event) => setDescription(event.currentTarget.value)}
              error={fieldError(mutation.error, 'description')}
            />
            <Radio.Group
              label="Visibility"
              value={visibility}
              onChange={(value) => setVisibility(value === 'public' ? 'public' : 'private')}
            >
              <Stack gap="xs" mt="xs">
                <Radio value="private" label="Private" description="Only you can see and pull it." />
                <Radio
                  value="public"
                  label="Public"
                  description="Everybody can see and pull it; only you can push."
                />
              </Stack>
            </Radio.Group>
            <Textarea
              label="README (optional)"
              description="Markdown, shown on the repository's page"
              value={readme}
              onChange={(event) => setReadme(event.currentTarget.value)}
              autosize
              minRows={3}
              maxRows={12}
            />
            <Group>
              <Button type="submit" loading={mutation.isPending}>
                Create
              </Button>
            </Group>
          </Stack>
        </form>
      </Grid.Col>
      <Grid.Col span={{ base: 12, md: 5 }}>
        <Card withBorder component="aside" aria-label="Push commands">
          <Stack gap="sm">
            <Group justify="space-between">
              <Text fw={600}>Then push to it</Text>
              <ClientSwitch />
            </Group>
            <Text size="sm" c="dimmed">
              Give your local image the repository's name, then push it. Replace tagname with a tag of your
              own, such as v1.
            </Text>
            <CopyLine text={`${tool} tag local-image:tagname ${target}`} label="the tag command" />
            <CopyLine text={hubCommand(tool, 'push', target)} label="the push command" />
          </Stack>
        </Card>
      </Grid.Col>
    </Grid>
  );
}
