//go:build e2evm

package vm

import (
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"
)

// ask has QEMU do something with the machine, and returns its answer.
func (m *machine) ask(t *testing.T, command string, arguments map[string]any) json.RawMessage {
	t.Helper()
	conn, err := net.Dial("unix", m.qmp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(hangs)); err != nil {
		t.Fatal(err)
	}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	var answer struct {
		QMP    json.RawMessage               // the greeting
		Return json.RawMessage               `json:"return"`
		Error  *struct{ Class, Desc string } `json:"error"`
	}
	err = in.Decode(&answer)
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	for _, request := range []map[string]any{{"execute": "qmp_capabilities"}, request} {
		if err == nil {
			err = out.Encode(request)
		}
		answer.Return = nil
		for err == nil && answer.Return == nil { // events come in between
			if err = in.Decode(&answer); err == nil && answer.Error != nil {
				err = errors.New(answer.Error.Desc)
			}
		}
	}
	if err != nil {
		t.Fatalf("qemu, %s: %v", command, err)
	}
	return answer.Return
}

// awaitMigration waits until the machine's memory is in its file, or came from it.
func (m *machine) awaitMigration(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(hangs); ; time.Sleep(100 * time.Millisecond) {
		var state struct{ Status string }
		if err := json.Unmarshal(m.ask(t, "query-migrate", nil), &state); err != nil {
			t.Fatal(err)
		}
		if state.Status == "completed" {
			return
		}
		if state.Status == "failed" || time.Now().After(end) {
			t.Fatalf("the machine's memory: %q\n%s", state.Status, m.said(t))
		}
	}
}

// plugIn puts a stick into a USB port of the machine that runs.
func (m *machine) plugIn(t *testing.T, image string) {
	t.Helper()
	m.plugAs(t, "stick", image)
}

// plugAs is plugIn for one of several sticks.
func (m *machine) plugAs(t *testing.T, name, image string) {
	t.Helper()
	m.addDisk(t, name, image)
	m.ask(t, "device_add", map[string]any{"driver": "usb-storage", "id": name, "bus": "usb.0", "drive": name})
}

// plugDisks gives a machine its data disks.
func (m *machine) plugDisks(t *testing.T) {
	t.Helper()
	for i, data := range m.node.data {
		name := diskName(i)
		m.addDisk(t, name, data)
		m.ask(t, "device_add", map[string]any{"driver": "scsi-hd", "id": name, "bus": "scsi.0", "drive": name, "serial": name})
	}
}

func (m *machine) addDisk(t *testing.T, name, file string) {
	t.Helper()
	m.ask(t, "blockdev-add", map[string]any{"driver": "raw", "node-name": name, "file": map[string]any{"driver": "file", "filename": file}})
}
