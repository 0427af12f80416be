//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inside calls f on a thread in the node's network, which it leaves again: a thread that
// stayed may be the first of this process, which counts as one of the node's then.
func (n *node) inside(f func() error) error {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.holder.Process.Pid))
	if err != nil {
		return err
	}
	defer theirs.Close()
	if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	failed := f()
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		return err // the thread stays locked
	}
	runtime.UnlockOSThread()
	return failed
}

// forward listens on the node at an address of this machine, and connects what it gets
// to the same address here.
func (n *node) forward(addr string) {
	n.t.Helper()
	var listener net.Listener
	if err := n.inside(func() (err error) { listener, err = net.Listen("tcp", addr); return err }); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				there, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer there.Close()
				go func() { _, _ = io.Copy(there, conn); _ = there.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(conn, there)
			}()
		}
	}()
}
