package testenv

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudo-terminal that keeps what was written to it.
type Terminal struct {
	*os.File // the program's side
	master   *os.File
	mu       sync.Mutex
	seen     bytes.Buffer
	done     chan struct{}
}

// NeedTerminal returns a pseudo-terminal of so many columns.
func NeedTerminal(t testing.TB, columns uint16) *Terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	Require(t, err == nil, "the test needs a pseudo-terminal: %v", err)
	number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	Require(t, err == nil, "the test needs a pseudo-terminal: %v", err)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	term := &Terminal{File: slave, master: master, done: make(chan struct{})}
	go term.read()
	return term
}

func (term *Terminal) read() {
	defer close(term.done)
	buf := make([]byte, 4096)
	for {
		n, err := term.master.Read(buf)
		term.mu.Lock()
		term.seen.Write(buf[:n])
		term.mu.Unlock()
		if err != nil { // EIO when the other side is closed
			return
		}
	}
}

// Text closes the terminal and returns all that it saw.
func (term *Terminal) Text(t testing.TB) string {
	t.Helper()
	if err := term.Close(); err != nil {
		t.Fatal(err)
	}
	<-term.done
	term.master.Close()
	return term.seen.String()
}

// HangUp takes the terminal away from the program, and returns when it is gone.
func (term *Terminal) HangUp() {
	term.master.Close()
	_, _ = term.Write([]byte("\n")) // wakes the read that keeps it open
	<-term.done
}
