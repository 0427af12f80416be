//go:build e2evm

package vm

import (
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"
)

// ask has QEMU do something with the machine.
func (m *machine) ask(t *testing.T, command string, arguments map[string]any) {
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
	for _, request := range []map[string]any{{"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}} {
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
}

// plugIn puts a stick into a USB port of the machine that runs.
func (m *machine) plugIn(t *testing.T, image string) {
	t.Helper()
	m.ask(t, "blockdev-add", map[string]any{"driver": "raw", "node-name": "stick", "file": map[string]any{"driver": "file", "filename": image}})
	m.ask(t, "device_add", map[string]any{"driver": "usb-storage", "id": "stick", "bus": "usb.0", "drive": "stick"})
}
