import { etcdctlTests } from "./etcdctl/suite.ts";
import { etcdPrograms } from "./support/servers.ts";

etcdctlTests("etcdctl 3.6", async () => (await etcdPrograms()).etcdctl);
