package rehearse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// grace is how much longer than planned Wait lets the units take for the end.
const grace = 30 * time.Second

// record is what a report has to know of a rehearsal that began.
type record struct {
	Started time.Time
	Host    string
	Plan    Plan
}

// Begin cuts as planned, and restarts what the plan says. When it returns without an error,
// the cut is in force, and ends by itself. An error leaves no cut.
func (n *Node) Begin(ctx context.Context, p *Plan) error {
	if err := n.none(); err != nil {
		return err
	}
	if err := n.prepare(p); err != nil {
		return fmt.Errorf("preparing the rehearsal: %w", err)
	}
	_, err := n.run(ctx, "", "/bin/sh", n.path(kept, "rehearse.sh"), "begin", strconv.Itoa(p.Minutes*60))
	if err == nil {
		err = n.then(ctx, p.Then)
	}
	if err != nil {
		// The end must come also if ctx ended.
		return errors.Join(fmt.Errorf("beginning the rehearsal: %w", err), n.undo(context.WithoutCancel(ctx)))
	}
	return nil
}

// none returns an error if a rehearsal runs.
func (n *Node) none() error {
	if n.exists(live) {
		return precondition("a rehearsal runs already; nodeseal rehearse --stop ends it")
	}
	return nil
}

// prepare writes what the rehearsal is made of. It is not made durable: a power cut ends it.
func (n *Node) prepare(p *Plan) error {
	if err := errors.Join(n.forget(), os.RemoveAll(n.path(kept))); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	data, err := json.Marshal(record{Started: n.Now().UTC(), Host: host, Plan: *p})
	if err != nil {
		return err
	}
	all := files(p)
	all["record.json"] = string(data)
	// Units are for everybody to read, systemd says. The directory is not.
	if err := os.MkdirAll(n.path(kept), 0o700); err != nil {
		return err
	}
	for name, text := range all {
		path := n.path(kept, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) then(ctx context.Context, what string) error {
	if what == "reboot" {
		// The script asks for it when the node goes down.
		if err := os.WriteFile(n.path(live, "reboot"), nil, 0o600); err != nil {
			return err
		}
	}
	if what == "" {
		return nil
	}
	_, err := n.run(ctx, "", append([]string{"systemctl"}, strings.Fields(what)...)...)
	return err
}

// forget removes what an ordered boot would find.
func (n *Node) forget() error {
	var errs []error
	for _, name := range []string{kept + "/order", "etc/systemd/system/multi-user.target.wants/" + bootName, "etc/systemd/system/" + bootName} {
		if err := os.Remove(n.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Stop ends the running rehearsal, and one that the next boot would continue. It returns
// an error that wraps ErrPrecondition if there is none.
func (n *Node) Stop(ctx context.Context) error {
	if !n.exists(live) && !n.exists(kept, "order") {
		return precondition("no rehearsal runs here")
	}
	return n.undo(ctx)
}

func (n *Node) undo(ctx context.Context) error {
	err := n.forget()
	var unitErr error
	if n.exists(live) {
		// It runs the script's stop. A unit that did not start has done so.
		_, unitErr = n.run(ctx, "", "systemctl", "stop", unitName)
	}
	if n.exists(live) {
		// systemd does not know the unit, if nodeseal died early.
		_, stopErr := n.run(ctx, "", "/bin/sh", n.path(live, "rehearse.sh"), "stop")
		err = errors.Join(err, stopErr)
	}
	if n.exists(live) {
		err = errors.Join(err, unitErr, fmt.Errorf("/%s is still there: nft delete table inet %s ends the cut", live, table))
	}
	if err != nil {
		return fmt.Errorf("ending the rehearsal: %w", err)
	}
	return nil
}

// Wait waits for the end of the rehearsal. If ctx ends first, the rehearsal is stopped, and
// the error is the context's cause.
func (n *Node) Wait(ctx context.Context, p *Plan) error {
	late := time.NewTimer(time.Duration(p.Minutes)*time.Minute + grace)
	defer late.Stop()
	look := time.NewTicker(time.Second / 2)
	defer look.Stop()
	for n.exists(live) {
		select {
		case <-look.C:
		case <-late.C:
			return n.undo(context.WithoutCancel(ctx))
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), n.undo(context.WithoutCancel(ctx)))
		}
	}
	return nil
}
