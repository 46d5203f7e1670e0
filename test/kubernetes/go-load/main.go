// Command load puts the load of the datastore benchmark that etcd's own tool does not have on a server of the etcd v3 API:
// writes as kube-apiserver makes them, its mix of calls, and many watchers. It prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var (
	endpoint = flag.String("endpoint", "127.0.0.1:2379", "address of the server")
	mode     = flag.String("mode", "create", "create, fill, mix, watch or compact")
	clients  = flag.Int("clients", 16, "calls in flight")
	conns    = flag.Int("conns", 16, "connections they share")
	seconds  = flag.Float64("seconds", 3, "how long create and mix run")
	total    = flag.Int("total", 100_000, "keys that fill makes, or events that watch waits for")
	watchers = flag.Int("watchers", 1000, "watchers of watch")
	prefix   = flag.String("prefix", "/registry/load/", "where the keys are")
	value    = strings.Repeat("v", 512)
)

func main() {
	flag.Parse()
	run := map[string]func([]*clientv3.Client) any{
		"create": create, "fill": fill, "mix": mix, "watch": watch, "compact": compact,
	}[*mode]
	if run == nil {
		fail(fmt.Errorf("unknown mode %s", *mode))
	}
	connections := make([]*clientv3.Client, min(*conns, *clients))
	for i := range connections {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}, DialTimeout: 10 * time.Second})
		fail(err)
		connections[i] = client
	}
	fail(json.NewEncoder(os.Stdout).Encode(run(connections)))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type rate struct {
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
}

// measure calls from all workers until the time is over or a worker has nothing left to do.
func measure(connections []*clientv3.Client, call func(worker, turn int, client *clientv3.Client) (bool, error)) rate {
	times := make([][]time.Duration, *clients)
	begin := time.Now()
	var group sync.WaitGroup
	for worker := range *clients {
		group.Go(func() {
			for turn := 0; ; turn++ {
				start := time.Now()
				more, err := call(worker, turn, connections[worker%len(connections)])
				fail(err)
				if !more {
					return
				}
				times[worker] = append(times[worker], time.Since(start))
			}
		})
	}
	group.Wait()
	elapsed := time.Since(begin).Seconds()
	return rateOf(slices.Concat(times...), elapsed)
}

func rateOf(all []time.Duration, elapsed float64) rate {
	slices.Sort(all)
	at := func(part float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return all[int(part*float64(len(all)-1))].Seconds() * 1000
	}
	return rate{float64(len(all)) / elapsed, at(0.5), at(0.99)}
}

func timeIsUp() func() bool {
	end := time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	return func() bool { return time.Now().After(end) }
}

// createKey is kube-apiserver's way: only if the key is not there.
func createKey(client *clientv3.Client, key string) (int64, error) {
	answer, err := client.Txn(context.Background()).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, value)).
		Else(clientv3.OpGet(key)).
		Commit()
	if err != nil {
		return 0, err
	}
	return answer.Header.Revision, nil
}

func create(connections []*clientv3.Client) any {
	over := timeIsUp()
	return measure(connections, func(worker, turn int, client *clientv3.Client) (bool, error) {
		_, err := createKey(client, fmt.Sprintf("%s%06d-%09d", *prefix, worker, turn))
		return !over(), err
	})
}

func fill(connections []*clientv3.Client) any {
	var next atomic.Int64
	return measure(connections, func(_, _ int, client *clientv3.Client) (bool, error) {
		key := int(next.Add(1)) - 1
		if key >= *total {
			return false, nil
		}
		_, err := createKey(client, fmt.Sprintf("%s%09d", *prefix, key))
		return true, err
	})
}

// mix is what was seen of kube-apiserver: 62 of 100 calls read, most of them one key; the others create, update and delete
// under a condition. Each worker has a hundred objects of its own.
func mix(connections []*clientv3.Client) any {
	over := timeIsUp()
	revisions := make([][100]int64, *clients)
	ctx := context.Background()
	return measure(connections, func(worker, _ int, client *clientv3.Client) (bool, error) {
		object := rand.IntN(100)
		known := &revisions[worker][object]
		key := fmt.Sprintf("%s%06d/%03d", *prefix, worker, object)
		list := fmt.Sprintf("%s%06d/", *prefix, worker)
		var err error
		switch dice := rand.IntN(100); {
		case dice < 45:
			_, err = client.Get(ctx, key, clientv3.WithLimit(1))
		case dice < 55:
			_, err = client.Get(ctx, list, clientv3.WithRange(clientv3.GetPrefixRangeEnd(list)), clientv3.WithLimit(10_000))
		case dice < 62:
			_, err = client.Get(ctx, list, clientv3.WithRange(clientv3.GetPrefixRangeEnd(list)), clientv3.WithCountOnly())
		case *known == 0:
			*known, err = createKey(client, key)
		default:
			err = change(ctx, client, key, known, dice >= 95)
		}
		return !over(), err
	})
}

func change(ctx context.Context, client *clientv3.Client, key string, known *int64, remove bool) error {
	operation := clientv3.OpPut(key, value)
	if remove {
		operation = clientv3.OpDelete(key)
	}
	answer, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", *known)).
		Then(operation).
		Else(clientv3.OpGet(key)).
		Commit()
	if err != nil {
		return err
	}
	if !answer.Succeeded {
		return fmt.Errorf("%s is not at revision %d", key, *known)
	}
	*known = answer.Header.Revision
	if remove {
		*known = 0
	}
	return nil
}

// watch has one writer whose every change goes to all watchers; a time is from before the write to an event's arrival.
func watch(connections []*clientv3.Client) any {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var started atomic.Int64
	var arrived atomic.Int64
	writes := max(1, *total / *watchers)
	times := make([][]time.Duration, *watchers)
	var group sync.WaitGroup
	var ready sync.WaitGroup
	for index := range *watchers {
		ready.Add(1)
		group.Go(func() {
			events := connections[index%len(connections)].Watch(ctx, *prefix,
				clientv3.WithRange(clientv3.GetPrefixRangeEnd(*prefix)), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
			<-events
			ready.Done()
			for seen := 0; seen < writes; {
				answer := <-events
				fail(answer.Err())
				for range answer.Events {
					times[index] = append(times[index], time.Duration(time.Now().UnixNano()-started.Load()))
					seen++
					arrived.Add(1)
				}
			}
		})
	}
	ready.Wait()
	begin := time.Now()
	for write := range writes {
		started.Store(time.Now().UnixNano())
		_, err := createKey(connections[0], fmt.Sprintf("%swatched-%09d", *prefix, write))
		fail(err)
		for arrived.Load() < int64((write+1)**watchers) {
			time.Sleep(100 * time.Microsecond)
		}
	}
	group.Wait()
	return rateOf(slices.Concat(times...), time.Since(begin).Seconds())
}

// compact tells how long it takes until the room of all old revisions is free.
func compact(connections []*clientv3.Client) any {
	ctx := context.Background()
	answer, err := connections[0].Get(ctx, *prefix, clientv3.WithCountOnly())
	fail(err)
	begin := time.Now()
	_, err = connections[0].Compact(ctx, answer.Header.Revision, clientv3.WithCompactPhysical())
	fail(err)
	return map[string]float64{"ms": time.Since(begin).Seconds() * 1000}
}
