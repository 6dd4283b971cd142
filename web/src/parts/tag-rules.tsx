import { Button, Card, Group, Radio, Stack, TagsInput, Title } from '@mantine/core';
import { useState } from 'react';
import type { RepositoryDetail, TagMutability } from '#hub/protocol/index.ts';
import { useUpdateRepository } from './repository-update.ts';
import { FormError, fieldError, Saved } from './states.tsx';

/** Which tags may not move once they are pushed. */
export function TagRules({ detail, name }: { readonly detail: RepositoryDetail; readonly name: string }) {
  const [mutability, setMutability] = useState<TagMutability>(detail.tagMutability);
  const [patterns, setPatterns] = useState<string[]>([...detail.immutablePatterns]);
  const update = useUpdateRepository(name);
  return (
    <Card withBorder>
      <Stack>
        <Title order={2} size="h4">
          Immutable tags
        </Title>
        <Radio.Group
          label="Tags that cannot be moved to another image once they are pushed"
          description="A push to such a tag is refused, whoever pushes. It can still be deleted."
          value={mutability}
          onChange={(value) => setMutability(value as TagMutability)}
        >
          <Stack gap={6} mt="xs">
            <Radio value="mutable" label="None" />
            <Radio value="immutable" label="All" />
            <Radio value="patterns" label="Those that fit a pattern" />
          </Stack>
        </Radio.Group>
        {mutability === 'patterns' && (
          <TagsInput
            label="Patterns"
            description="* stands for any text, ? for one character: v*, latest, release-??"
            placeholder={patterns.length === 0 ? 'v*' : ''}
            value={patterns}
            onChange={setPatterns}
            error={fieldError(update.error, 'immutablePatterns')}
            acceptValueOnBlur
          />
        )}
        <FormError error={update.error} fields={['immutablePatterns']} />
        <Group>
          <Button
            loading={update.isPending}
            onClick={() => update.mutate({ tagMutability: mutability, immutablePatterns: patterns })}
          >
            Save
          </Button>
          <Saved isShown={update.isSuccess} />
        </Group>
      </Stack>
    </Card>
  );
}
