import {
  AlarmRequest,
  AlarmResponse,
  DefragmentRequest,
  DefragmentResponse,
  HashKVRequest,
  HashKVResponse,
  HashRequest,
  HashResponse,
  MemberListRequest,
  MemberListResponse,
  StatusRequest,
  StatusResponse,
} from "../gen/etcd.ts";
import { alarmAction, alarmType } from "../wire.ts";
import type { Backend } from "./backend.ts";
import type { Method } from "./grpc-call.ts";
import type { Maintenance } from "./maintenance.ts";
import type { Room } from "./room.ts";
import { snapshotMethod } from "./snapshot-service.ts";
import { type Headers, unary } from "./unary.ts";

export interface MaintenanceDeps {
  readonly store: Pick<Backend, "memberId" | "revision">;
  readonly maintenance: Maintenance;
  readonly room: Room;
  readonly headers: Headers;
  readonly member: { readonly name: string; readonly clientUrls: () => readonly string[] };
}

/** The etcd version whose behaviour this is; kube-apiserver reads from it that progress can be asked for. */
export const etcdVersion = "3.6.8";
export const storageVersion = "3.6.0";

export function maintenanceMethods({ store, maintenance, room, headers, member }: MaintenanceDeps): [string, Method][] {
  const alarmText = (kind: number) => (kind === alarmType.noSpace ? "NOSPACE" : "CORRUPT");
  return [
    [
      "/etcdserverpb.Maintenance/Status",
      unary(StatusRequest, StatusResponse, () => {
        const size = room.size();
        return {
          header: headers(),
          version: etcdVersion,
          dbSize: size.total,
          dbSizeInUse: size.inUse,
          dbSizeQuota: room.quota,
          leader: store.memberId,
          raftIndex: store.revision(),
          raftAppliedIndex: store.revision(),
          raftTerm: headers().raftTerm,
          errors: room.alarms().map((kind) => `memberID:${store.memberId} alarm:${alarmText(kind)} `),
          isLearner: false,
          storageVersion,
        };
      }),
    ],
    [
      "/etcdserverpb.Maintenance/Alarm",
      unary(AlarmRequest, AlarmResponse, async (request, _size, permission) => {
        permission?.administration();
        const entries = (kinds: readonly number[]) => kinds.map((alarm) => ({ memberId: store.memberId, alarm }));
        let kinds = room.alarms();
        if (request.action === alarmAction.activate) {
          await room.raise(request.alarm);
          kinds = [request.alarm];
        } else if (request.action === alarmAction.deactivate) {
          kinds = (await room.clear(request.alarm)) ? [request.alarm] : [];
        }
        return { header: headers(), alarms: entries(kinds) };
      }),
    ],
    [
      "/etcdserverpb.Maintenance/Defragment",
      unary(DefragmentRequest, DefragmentResponse, async (_request, _size, permission) => {
        permission?.administration();
        await maintenance.defragment();
        return { header: undefined };
      }),
    ],
    [
      "/etcdserverpb.Maintenance/Hash",
      unary(HashRequest, HashResponse, async (_request, _size, permission) => {
        permission?.administration();
        const { hash } = await maintenance.hash(store.revision());
        return { header: headers(), hash };
      }),
    ],
    [
      "/etcdserverpb.Maintenance/HashKV",
      unary(HashKVRequest, HashKVResponse, async ({ revision }, _size, permission) => {
        permission?.administration();
        const hashRevision = revision > 0 ? revision : store.revision();
        const { hash, compactRevision } = await maintenance.hash(hashRevision);
        return { header: headers(), hash, compactRevision, hashRevision };
      }),
    ],
    [
      "/etcdserverpb.Cluster/MemberList",
      unary(MemberListRequest, MemberListResponse, () => {
        const clientUrls = [...member.clientUrls()];
        const one = { id: store.memberId, name: member.name, peerUrls: [], clientUrls, isLearner: false };
        return { header: headers(), members: [one] };
      }),
    ],
    ["/etcdserverpb.Maintenance/Snapshot", snapshotMethod(maintenance, headers, storageVersion)],
  ];
}
