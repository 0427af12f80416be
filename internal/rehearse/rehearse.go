// Package rehearse cuts a node's container runtime off from all but loopback and the
// cluster's own addresses for some minutes, and reports what reached out meanwhile.
//
// systemd holds the cut and its end, the kernel ends it besides: the program that began it
// may die. All of it is below /run, which no boot finds again. The one exception is the
// boot that Begin ordered: see rehearse.sh, and docs/adr/0019-a-rehearsal-undoes-itself.md.
package rehearse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

var (
	// ErrUsage marks options that make no sense.
	ErrUsage = errors.New("wrong option")
	// ErrPrecondition marks what a node has to have for a rehearsal.
	ErrPrecondition = errors.New("no rehearsal is possible")
	// ErrNoProof says that a rehearsal ended and proves nothing: the report has why.
	ErrNoProof = errors.New("the rehearsal proves nothing")
)

// precondition is an ErrPrecondition that has nothing to do with what the node has.
type precondition string

func (p precondition) Error() string { return string(p) }

// Is reports whether target is ErrPrecondition.
func (p precondition) Is(target error) bool { return target == ErrPrecondition }

const (
	kept = "var/lib/nodeseal/rehearse"
	live = "run/nodeseal/rehearse"
	// crio is the unit that a node must have.
	crio = "crio.service"
	// kubelet names images that CRI-O does not, and is not cut.
	kubelet = "kubelet.service"
	// journald tells which messages it left out.
	journald = "systemd-journald.service"

	// most is the longest rehearsal, in minutes: a day.
	most = 24 * 60
)

// pullers are the units of an OpenShift node that pull images, besides CRI-O: by podman, and
// by rpm-ostree. Those that the node has are cut.
func pullers() []string {
	return []string{
		"rpm-ostreed.service", "crio-wipe.service", "nodeip-configuration.service", "on-prem-resolv-prepender.service",
		"machine-config-daemon-pull.service", "machine-config-daemon-firstboot.service",
	}
}

// Options are what an admin says about a rehearsal.
type Options struct {
	// Minutes is how long the cut lasts, 1 to 1440.
	Minutes int
	// Allow are further addresses: CIDR, CIDR:PORT, ADDRESS, ADDRESS:PORT.
	Allow []string
	// Units are further units to cut.
	Units []string
	// RestartCRIO restarts CRI-O under the cut. Reboot restarts the node.
	RestartCRIO, Reboot bool
}

// Allowed is an address that the cut leaves reachable.
type Allowed struct {
	// Address is in CIDR form.
	Address netip.Prefix `json:"address"`
	// Port is the only port that is reachable, 0 for all.
	Port uint16 `json:"port,omitempty"`
	// Source is where it was found: a file of the node, a route, or --allow.
	Source string `json:"source"`
}

// Plan is a rehearsal that has not begun.
type Plan struct {
	Minutes int `json:"minutes"`
	// Units are cut, CRI-O first.
	Units []string `json:"units"`
	// Allow are the addresses that stay reachable, besides loopback and the node's own.
	Allow []Allowed `json:"allow"`
	// Notes are sentences about what was not found.
	Notes []string `json:"notes,omitempty"`
	// Then is what happens once the cut is in force: "restart crio", "reboot", or "".
	Then string `json:"then,omitempty"`
	// Rules is what nft is given. @SECONDS@ stands for the time that is left.
	Rules string `json:"rules"`
}

// Node is the machine that a rehearsal cuts. The zero value is this one.
type Node struct {
	// Root is where its files are; "" is /.
	Root string
	// Run runs a program with stdin and stdout. Nil runs it here.
	Run func(ctx context.Context, stdin string, stdout io.Writer, words ...string) error
	// Lookup resolves the name of the API server. Nil is the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Now is the time. It must not be nil.
	Now func() time.Time
}

func (n *Node) path(elem ...string) string {
	return filepath.Join(append([]string{"/", n.Root}, elem...)...)
}

// run runs a program and returns what it prints.
func (n *Node) run(ctx context.Context, stdin string, words ...string) ([]byte, error) {
	var stdout bytes.Buffer
	err := n.stream(ctx, stdin, &stdout, words...)
	return stdout.Bytes(), err
}

func (n *Node) stream(ctx context.Context, stdin string, stdout io.Writer, words ...string) error {
	if n.Run != nil {
		return n.Run(ctx, stdin, stdout, words...)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if text := strings.TrimSpace(stderr.String()); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return fmt.Errorf("%s: %w", strings.Join(words[:min(2, len(words))], " "), err)
}

// exists reports whether the node has a file.
func (n *Node) exists(elem ...string) bool {
	_, err := os.Lstat(n.path(elem...))
	return err == nil
}
