import {
  ActionIcon,
  Button,
  Card,
  Group,
  NumberInput,
  Select,
  Stack,
  TagsInput,
  Text,
  TextInput,
  Title,
} from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useId, useState } from 'react';
import type {
  RetentionCondition,
  RetentionPolicy,
  RetentionPreview,
  RetentionState,
} from '#hub/protocol/index.ts';
import { call, retentionQuery } from '../api.ts';
import { formatAgo, plural } from '../format.ts';
import { BinIcon } from './icons.tsx';
import { RetentionResult, RunDialog } from './retention-result.tsx';
import { FormError, fieldError, QueryView, Saved } from './states.tsx';

const CONDITIONS: readonly { readonly value: RetentionCondition; readonly label: string }[] = [
  { value: 'pushed', label: 'pushed more than (days) ago' },
  { value: 'unused', label: 'neither pushed nor pulled for (days)' },
  { value: 'beyond', label: 'beyond the newest (number)' },
];

/** A rule while it is written; the key outlives its place. */
interface Draft {
  readonly key: string;
  readonly pattern: string;
  readonly condition: RetentionCondition;
  readonly value: number | string;
}

/** Which tags go by themselves, with a look at what would go before anything does. */
export function Retention({ name }: { readonly name: string }) {
  const state = useQuery(retentionQuery(name));
  return (
    <Card withBorder>
      <QueryView query={state}>{(data) => <Rules name={name} state={data} />}</QueryView>
    </Card>
  );
}

function draftsOf(policy: RetentionPolicy): Draft[] {
  return policy.rules.map((rule, index) => ({ ...rule, key: `saved-${index}` }));
}

function Rules({ name, state }: { readonly name: string; readonly state: RetentionState }) {
  const client = useQueryClient();
  const prefix = useId();
  const [count, setCount] = useState(0);
  const [drafts, setDrafts] = useState(() => draftsOf(state.policy));
  const [keep, setKeep] = useState<string[]>([...state.policy.keep]);
  const [isRunning, setRunning] = useState(false);
  const policy: RetentionPolicy = {
    rules: drafts.map(({ pattern, condition, value }) => ({ pattern, condition, value: Number(value) })),
    keep,
  };
  const isSaved = JSON.stringify(policy) === JSON.stringify(state.policy);
  const preview = useMutation({
    mutationFn: () => call<RetentionPreview>('POST', `/api/retention-preview/${name}`, policy),
  });
  const save = useMutation({
    mutationFn: () => call<RetentionState>('PUT', `/api/retention/${name}`, policy),
    onSuccess: (saved) => client.setQueryData(['retention', name], saved),
  });
  const error = save.error ?? preview.error;
  const change = (key: string, part: Partial<Draft>) => {
    preview.reset();
    save.reset();
    setDrafts(drafts.map((draft) => (draft.key === key ? { ...draft, ...part } : draft)));
  };
  const add = () => {
    setCount(count + 1);
    setDrafts([...drafts, { key: `${prefix}${count}`, pattern: 'dev-*', condition: 'pushed', value: 30 }]);
  };
  const fields = drafts.flatMap((_, index) =>
    ['pattern', 'condition', 'value'].map((part) => `rules.${index}.${part}`),
  );
  return (
    <Stack>
      <Title order={2} size="h4">
        Retention
      </Title>
      <Text size="sm">
        Tags that a rule is about go by themselves, once an hour, with the images that nothing else names.
        Immutable tags never go, nor do those you always keep.
      </Text>
      {drafts.map((draft, index) => (
        <RuleRow
          key={draft.key}
          draft={draft}
          index={index}
          error={error}
          onChange={(part) => change(draft.key, part)}
          onRemove={() => {
            preview.reset();
            setDrafts(drafts.filter(({ key }) => key !== draft.key));
          }}
        />
      ))}
      <Group>
        <Button variant="default" size="xs" onClick={add}>
          Add a rule
        </Button>
      </Group>
      {drafts.length > 0 && (
        <TagsInput
          label="Always keep"
          description="Tags or patterns"
          value={keep}
          onChange={(value) => {
            preview.reset();
            setKeep(value);
          }}
          error={fieldError(error, 'keep')}
          acceptValueOnBlur
        />
      )}
      <FormError error={error} fields={['keep', ...fields]} />
      <Group>
        <Button onClick={() => save.mutate()} loading={save.isPending} disabled={isSaved}>
          Save rules
        </Button>
        <Button
          variant="default"
          onClick={() => preview.mutate()}
          loading={preview.isPending}
          disabled={drafts.length === 0}
        >
          Show what would go
        </Button>
        {state.policy.rules.length > 0 && isSaved && (
          <Button variant="default" onClick={() => setRunning(true)}>
            Apply now…
          </Button>
        )}
        <Saved isShown={save.isSuccess && isSaved} />
      </Group>
      {preview.data !== undefined && <RetentionResult preview={preview.data} />}
      {state.ranAt !== null && (
        <Text size="xs" c="dimmed">
          Last applied {formatAgo(state.ranAt)}: {plural(state.removedTags, 'tag')} went.
        </Text>
      )}
      <RunDialog name={name} policy={state.policy} isOpen={isRunning} onClose={() => setRunning(false)} />
    </Stack>
  );
}

interface RuleRowProps {
  readonly draft: Draft;
  readonly index: number;
  readonly error: Error | null;
  readonly onChange: (part: Partial<Draft>) => void;
  readonly onRemove: () => void;
}

function RuleRow({ draft, index, error, onChange, onRemove }: RuleRowProps) {
  return (
    <Group align="flex-start" gap="xs" role="group" aria-label={`Rule ${index + 1}`}>
      <TextInput
        label="Tags like"
        value={draft.pattern}
        onChange={(event) => onChange({ pattern: event.currentTarget.value })}
        error={fieldError(error, `rules.${index}.pattern`)}
        w={{ base: '100%', xs: 140 }}
        spellCheck={false}
      />
      <Select
        label="go when they are"
        data={CONDITIONS}
        value={draft.condition}
        onChange={(condition) => condition !== null && onChange({ condition })}
        allowDeselect={false}
        w={{ base: '100%', xs: 290 }}
      />
      <NumberInput
        label={draft.condition === 'beyond' ? 'Number' : 'Days'}
        value={draft.value}
        onChange={(value) => onChange({ value })}
        min={1}
        allowDecimal={false}
        error={fieldError(error, `rules.${index}.value`)}
        w={100}
      />
      <ActionIcon
        variant="subtle"
        color="red"
        size="lg"
        mt={26}
        onClick={onRemove}
        aria-label={`Remove rule ${index + 1}`}
      >
        <BinIcon />
      </ActionIcon>
    </Group>
  );
}
