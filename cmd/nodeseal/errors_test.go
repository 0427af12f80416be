package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
)

// TestHints holds the exit codes of preconditions, and that each says what to do.
func TestHints(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&store.NeedError{Need: store.Need{Bytes: 2}, FreeBytes: 1}, "report these figures"},
		{&store.UsageError{Size: 1}, "--gc-threshold"},
		{carry.ErrBundles, "nodeseal import DIR/BUNDLE"},
		{&slot.FullError{}, "nodeseal retire SLOT"},
		{&fs.PathError{Op: "write", Path: "rel.tar.zst.partial", Err: syscall.ENOSPC}, "make room"},
		{&fs.PathError{Op: "write", Path: "rel.tar.zst.partial", Err: syscall.EDQUOT}, "make room"},
		{filelock.ErrBusy, "wait for the other command"},
	} {
		err := fmt.Errorf("importing: %w", tc.err)
		if code := exitCode(err); code != exitPrecondition {
			t.Errorf("%v: exit code %d, want %d", err, code, exitPrecondition)
		}
		if h := hint(err); !strings.Contains(h, tc.want) {
			t.Errorf("%v: hint %q, want one with %q", err, h, tc.want)
		}
	}
}

// TestOneLine holds that what retire waits for is one line of the progress, and not
// a long one.
func TestOneLine(t *testing.T) {
	use := func(name string) slot.Use { return slot.Use{Kind: slot.Layer, Name: name} }
	for want, err := range map[string]error{
		"slot a is needed: layer 1": &slot.InUseError{Slot: slot.A, Uses: []slot.Use{use("1")}},
		"slot b is needed: layer 1; layer 2; layer 3; and 2 more": fmt.Errorf("retiring: %w",
			&slot.InUseError{Slot: slot.B, Uses: []slot.Use{use("1"), use("2"), use("3"), use("4"), use("5")}}),
		"away": errors.New("away"),
	} {
		if got := slot.Waiting(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
