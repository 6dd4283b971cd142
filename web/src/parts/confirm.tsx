import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { type FormEvent, type ReactNode, useState } from 'react';
import { FormError, fieldError } from './states.tsx';

interface ConfirmProps {
  readonly isOpen: boolean;
  readonly onClose: () => void;
  readonly title: string;
  /** What has to be typed. */
  readonly name: string;
  /** What the button says, and does. */
  readonly action: string;
  readonly color?: string;
  readonly isPending: boolean;
  readonly error: Error | null;
  /** Fields of the form beside the name; their errors are shown there. */
  readonly fields?: readonly string[];
  /** Fields that are not filled in yet. */
  readonly isIncomplete?: boolean;
  readonly onConfirm: (typed: string) => void;
  /** What it means, and further fields. */
  readonly children: ReactNode;
}

/** A dialog for what cannot be undone easily: it says what happens and asks for the name. */
export function ConfirmByName(props: ConfirmProps) {
  const [typed, setTyped] = useState('');
  const close = () => {
    setTyped('');
    props.onClose();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (typed === props.name && props.isIncomplete !== true) props.onConfirm(typed);
  };
  return (
    <Modal opened={props.isOpen} onClose={close} title={props.title} size="lg">
      <form onSubmit={submit}>
        <Stack>
          {props.children}
          <TextInput
            label={`Type ${props.name} to confirm`}
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
            error={fieldError(props.error, 'confirm')}
            autoComplete="off"
            spellCheck={false}
            data-autofocus={props.fields === undefined || undefined}
          />
          <FormError error={props.error} fields={['confirm', ...(props.fields ?? [])]} />
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              Cancel
            </Button>
            <Button
              type="submit"
              {...(props.color === undefined ? {} : { color: props.color })}
              disabled={typed !== props.name || props.isIncomplete === true}
              loading={props.isPending}
            >
              {props.action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

/** A line of a dialog that says what happens. */
export function Effect({ children }: { readonly children: ReactNode }) {
  return (
    <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
      {children}
    </Text>
  );
}
