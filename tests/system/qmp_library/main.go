// SPDX-License-Identifier: Apache-2.0

// Drives the whole life of a daemon by a client library that knows nothing of Penstock:
// main SOCKET IMAGE MOUNTPOINT. The first thing that is not as it must be ends it with status 1.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

const mebibyte = 1 << 20

// A limit that only a broken program reaches.
const long = time.Minute

type object map[string]interface{}

func check(err error, what string) {
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

func expect(isTrue bool, what string) {
	if isTrue {
		return
	}
	fmt.Fprintf(os.Stderr, "not so: %s\n", what)
	os.Exit(1)
}

func connect(socket string) *qmp.SocketMonitor {
	monitor, err := qmp.NewSocketMonitor("unix", socket, long)
	check(err, "connect")
	check(monitor.Connect(), "negotiate")
	return monitor
}

func execute(monitor *qmp.SocketMonitor, command string, arguments object) (json.RawMessage, error) {
	request := object{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	check(err, command)
	answer, err := monitor.Run(text)
	if err != nil {
		return nil, err
	}
	var result struct{ Return json.RawMessage }
	check(json.Unmarshal(answer, &result), command)
	return result.Return, nil
}

func must(monitor *qmp.SocketMonitor, command string, arguments object) json.RawMessage {
	result, err := execute(monitor, command, arguments)
	check(err, command)
	return result
}

func listed(monitor *qmp.SocketMonitor, query string) int {
	var list []json.RawMessage
	check(json.Unmarshal(must(monitor, query, nil), &list), query)
	return len(list)
}

// The library delivers nothing else while an event waits to be taken.
func collect(events <-chan qmp.Event) <-chan qmp.Event {
	collected := make(chan qmp.Event, 1000)
	go func() {
		defer close(collected)
		for event := range events {
			collected <- event
		}
	}()
	return collected
}

func wait(events <-chan qmp.Event, name string) qmp.Event {
	limit := time.After(long)
	for {
		select {
		case event, isOpen := <-events:
			expect(isOpen, "the connection stays until "+name)
			if event.Event == name {
				return event
			}
		case <-limit:
			expect(false, name+" comes in time")
		}
	}
}

func serve(monitor *qmp.SocketMonitor, image, mountPoint string) {
	var commands []struct{ Name string }
	check(json.Unmarshal(must(monitor, "query-commands", nil), &commands), "query-commands")
	expect(len(commands) > 20, "query-commands names the commands")
	must(monitor, "object-add", object{"qom-type": "iothread", "id": "io0"})
	must(monitor, "blockdev-add", object{"driver": "raw", "node-name": "disk",
		"file": object{"driver": "file", "filename": image}})
	must(monitor, "block-export-add", object{"type": "fuse", "id": "e0", "node-name": "disk",
		"mountpoint": mountPoint, "writable": true, "iothread": "io0"})

	served := filepath.Join(mountPoint, "disk")
	disk, err := os.OpenFile(served, os.O_RDWR, 0)
	check(err, "open")
	_, err = disk.WriteAt([]byte("written"), 0)
	check(err, "write")
	check(disk.Close(), "close")
	must(monitor, "block_resize", object{"node-name": "disk", "size": 8 * mebibyte})
	// The kernel is told of the new size, and asks again a moment later.
	for end := time.Now().Add(long); ; time.Sleep(time.Millisecond) {
		facts, err := os.Stat(served)
		check(err, "stat")
		if facts.Size() == 8*mebibyte {
			break
		}
		expect(time.Now().Before(end), "the served file's size follows")
	}
}

func takeDown(monitor *qmp.SocketMonitor, events <-chan qmp.Event) {
	_, err := execute(monitor, "blockdev-del", object{"node-name": "disk"})
	expect(err != nil && strings.Contains(err.Error(), "disk"), "a node in use is kept")
	_, err = execute(monitor, "no-such-command", nil)
	expect(err != nil, "an unknown command is refused")

	must(monitor, "block-export-del", object{"id": "e0"})
	expect(wait(events, "BLOCK_EXPORT_DELETED").Data["id"] == "e0", "the event names the export")
	must(monitor, "blockdev-del", object{"node-name": "disk"})
	must(monitor, "object-del", object{"id": "io0"})
	for _, query := range []string{"query-named-block-nodes", "query-block-exports", "query-iothreads"} {
		expect(listed(monitor, query) == 0, query+" lists nothing any more")
	}
}

func manyAtOnce(socket string) {
	const clients, each = 4, 25
	var group sync.WaitGroup
	for i := 0; i < clients; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			monitor := connect(socket)
			for j := 0; j < each; j++ {
				name := fmt.Sprintf("n%d-%d", i, j)
				must(monitor, "blockdev-add", object{"driver": "null-co", "node-name": name})
			}
			expect(listed(monitor, "query-named-block-nodes") >= each, "a client sees its nodes")
			for j := 0; j < each; j++ {
				must(monitor, "blockdev-del", object{"node-name": fmt.Sprintf("n%d-%d", i, j)})
			}
			check(monitor.Disconnect(), "disconnect")
		}(i)
	}
	group.Wait()
}

func main() {
	socket, image, mountPoint := os.Args[1], os.Args[2], os.Args[3]
	monitor := connect(socket)
	events, err := monitor.Events(context.Background())
	check(err, "events")
	collected := collect(events)
	serve(monitor, image, mountPoint)
	takeDown(monitor, collected)
	manyAtOnce(socket)
	must(monitor, "quit", nil)
}
