import { Button, Card, Group, MultiSelect, Stack, Text, TextInput, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { CATEGORIES, type RepositoryDetail } from '#hub/protocol/index.ts';
import { call } from '../api.ts';
import { ConfirmByName, Effect } from '../parts/confirm.tsx';
import { MoveRepository } from '../parts/move-repository.tsx';
import { useUpdateRepository } from '../parts/repository-update.ts';
import { Retention } from '../parts/retention.tsx';
import { FormError, fieldError, Saved } from '../parts/states.tsx';
import { TagRules } from '../parts/tag-rules.tsx';

interface SettingsProps {
  readonly detail: RepositoryDetail;
  readonly name: string;
}

/** What the owner decides: texts, tags that stay and tags that go, who sees it, its name, its end. */
export function SettingsTab({ detail, name }: SettingsProps) {
  return (
    <Stack gap="lg" maw={820}>
      <About detail={detail} name={name} />
      <TagRules detail={detail} name={name} />
      <Retention name={name} />
      <Visibility detail={detail} name={name} />
      <MoveRepository detail={detail} name={name} />
      <Removal detail={detail} name={name} />
    </Stack>
  );
}

function About({ detail, name }: SettingsProps) {
  const [description, setDescription] = useState(detail.description);
  const [categories, setCategories] = useState<string[]>([...detail.categories]);
  const update = useUpdateRepository(name);
  return (
    <Card withBorder>
      <Stack>
        <Title order={2} size="h4">
          About
        </Title>
        <TextInput
          label="Short description"
          description={`${description.length} of 100 characters`}
          value={description}
          maxLength={100}
          onChange={(event) => setDescription(event.currentTarget.value)}
          error={fieldError(update.error, 'description')}
        />
        <MultiSelect
          label="Categories"
          description="Up to three, to be found by"
          placeholder={categories.length === 0 ? 'None' : ''}
          data={[...CATEGORIES]}
          value={categories}
          onChange={setCategories}
          maxValues={3}
          searchable
          clearable
          error={fieldError(update.error, 'categories')}
        />
        <FormError error={update.error} fields={['description', 'categories']} />
        <Group>
          <Button onClick={() => update.mutate({ description, categories })} loading={update.isPending}>
            Save
          </Button>
          <Saved isShown={update.isSuccess} />
        </Group>
      </Stack>
    </Card>
  );
}

/** A card with one button that opens a dialog. */
function Section({
  title,
  text,
  button,
}: {
  readonly title: string;
  readonly text: string;
  readonly button: ReactNode;
}) {
  return (
    <Group justify="space-between">
      <Stack gap={2}>
        <Title order={2} size="h4">
          {title}
        </Title>
        <Text size="sm">{text}</Text>
      </Stack>
      {button}
    </Group>
  );
}

function Visibility({ detail, name }: SettingsProps) {
  const [isOpen, dialog] = useDisclosure(false);
  const next = detail.visibility === 'public' ? 'private' : 'public';
  const update = useUpdateRepository(name, dialog.close);
  return (
    <Card withBorder>
      <Section
        title="Visibility"
        text={`This repository is ${detail.visibility}.`}
        button={
          <Button variant="default" onClick={dialog.open}>
            Make it {next}
          </Button>
        }
      />
      <ConfirmByName
        key={next}
        isOpen={isOpen}
        onClose={dialog.close}
        title={`Make ${name} ${next}?`}
        name={name}
        action={`Make it ${next}`}
        isPending={update.isPending}
        error={update.error}
        onConfirm={(confirm) => update.mutate({ visibility: next, confirm })}
      >
        <Effect>
          {next === 'public'
            ? 'Everybody will be able to see and pull it, also without an account. Who has pulled it keeps what they have.'
            : 'Only you will be able to see and pull it. For everybody else it does not exist any more.'}
        </Effect>
      </ConfirmByName>
    </Card>
  );
}

function Removal({ detail, name }: SettingsProps) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [isOpen, dialog] = useDisclosure(false);
  const remove = useMutation({
    mutationFn: (confirm: string) => call('DELETE', `/api/repositories/${name}`, { confirm }),
    onSuccess: async () => {
      await navigate({ to: '/' });
      await client.invalidateQueries();
    },
  });
  const count = detail.tags === 1 ? 'Its tag' : `All ${detail.tags} tags`;
  return (
    <Card withBorder>
      <Section
        title="Delete repository"
        text="Its tags and images are gone for good."
        button={
          <Button color="red" variant="light" onClick={dialog.open}>
            Delete repository
          </Button>
        }
      />
      <ConfirmByName
        isOpen={isOpen}
        onClose={dialog.close}
        title={`Delete ${name}?`}
        name={name}
        action="Delete repository forever"
        color="red"
        isPending={remove.isPending}
        error={remove.error}
        onConfirm={(confirm) => remove.mutate(confirm)}
      >
        <Effect>
          {detail.tags === 0 ? 'It has no tags.' : `${count} and every image go with it.`} Nobody can pull
          them any more, and nothing brings them back.
        </Effect>
      </ConfirmByName>
    </Card>
  );
}
