import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import type { HubEvent } from '#hub/protocol/index.ts';

/** Keeps every open view up to date: what was pushed or deleted elsewhere is asked for again. */
export function useLiveUpdates(viewer: string | undefined): void {
  const client = useQueryClient();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another viewer may see other events, so the stream is opened anew
  useEffect(() => {
    const source = new EventSource('/api/events');
    let wasOpen = false;
    source.onopen = () => {
      // After a gap nobody knows what was missed.
      if (wasOpen) void client.invalidateQueries();
      wasOpen = true;
    };
    source.onmessage = (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as HubEvent;
      const keys =
        event.kind === 'signin' ? ['guide'] : ['repositories', 'repository', 'tags', 'image', 'guide'];
      for (const key of keys) void client.invalidateQueries({ queryKey: [key] });
    };
    return () => source.close();
  }, [client, viewer]);
}
