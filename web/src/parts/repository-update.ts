import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { RepositoryDetail, UpdateRepositoryRequest } from '#hub/protocol/index.ts';
import { call } from '../api.ts';

/** Changes a repository and shows the answer everywhere. */
export function useUpdateRepository(name: string, onDone: () => void = () => {}) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: UpdateRepositoryRequest) =>
      call<RepositoryDetail>('PATCH', `/api/repositories/${name}`, body),
    onSuccess: (detail) => {
      client.setQueryData(['repository', name], detail);
      void client.invalidateQueries({ queryKey: ['repositories'] });
      void client.invalidateQueries({ queryKey: ['tags', name] });
      onDone();
    },
  });
}
