package rehearse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// State says how a rehearsal stands.
type State string

// The states. All but Over prove nothing.
const (
	// Running is a rehearsal that has not ended yet.
	Running State = "running"
	// Over is one that lasted as long as planned.
	Over State = "over"
	// Stopped is one that ended early: by --stop, or by a reboot or an end of its unit
	// that nodeseal did not order.
	Stopped State = "stopped"
	// Rebooting is one that the next boot continues.
	Rebooting State = "rebooting"
	// Late is one that the ordered boot did not continue, because its time was over, or
	// the clock showed another time than possible.
	Late State = "late"
	// Lost is one that a power cut ended.
	Lost State = "lost"
)

// Report is what a rehearsal found.
type Report struct {
	// Node is the host name.
	Node    string    `json:"node"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	// until is Ended to the microsecond.
	until time.Time
	// State is running, over, stopped, rebooting, late or lost.
	State   State `json:"state"`
	Minutes int   `json:"minutes"`
	// Boots is how many boots the cut was in force in.
	Boots int       `json:"boots"`
	Units []string  `json:"units"`
	Allow []Allowed `json:"allow"`
	// Reached are the attempts to reach something outside, sorted.
	Reached []Reached `json:"reached"`
	// Images are the images that were asked for, sorted.
	Images []Image `json:"images"`
	// Problems are reasons why the rehearsal proves nothing.
	Problems []string `json:"problems,omitempty"`
	// Passed: the rehearsal lasted as long as planned, no unit tried to reach anything
	// outside but DNS, and each image that was asked for was there.
	Passed bool `json:"passed"`
}

// Outside reports whether something outside was missing: a connection, or an image.
func (r *Report) Outside() bool {
	return slices.ContainsFunc(r.Reached, func(x Reached) bool { return !x.lookup() }) ||
		slices.ContainsFunc(r.Images, func(i Image) bool { return i.Got < i.Asked })
}

// Proof returns nil for a rehearsal that passed or that Outside tells of, and for one that
// runs; else an error that wraps ErrNoProof.
func (r *Report) Proof() error {
	if len(r.Problems) == 0 || r.State == Running || r.State == Rebooting {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNoProof, strings.Join(r.Problems, "; "))
}

// Report tells of the rehearsal that runs, or of the last one. It returns an error that wraps
// ErrPrecondition if there was none.
func (n *Node) Report(ctx context.Context) (*Report, error) {
	var rec record
	data, err := os.ReadFile(n.path(kept, "record.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, precondition("no rehearsal has been on this node")
	}
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	if err != nil {
		return nil, fmt.Errorf("the last rehearsal: %w", err)
	}
	r := &Report{Node: rec.Host, Started: rec.Started.Truncate(time.Second), Minutes: rec.Plan.Minutes, Units: rec.Plan.Units, Allow: rec.Plan.Allow, Images: []Image{}}
	if err := n.state(r); err != nil {
		return nil, fmt.Errorf("the last rehearsal: %w", err)
	}
	if err := n.counts(ctx, r); err != nil {
		return nil, err
	}
	n.missed(r)
	if err := n.asked(ctx, r, rec.Started); err != nil {
		r.Problems = append(r.Problems, fmt.Sprintf("which images were asked for is not known: %v", err))
	}
	r.Passed = r.State == Over && len(r.Problems) == 0 && !r.Outside()
	return r, nil
}

// state finds out how the rehearsal stands.
func (n *Node) state(r *Report) error {
	data, err := os.ReadFile(n.path(kept, "ended"))
	switch {
	case n.exists(live, "reboot"):
		r.State = Rebooting
	case n.exists(live):
		r.State = Running
	case err == nil:
		at, why, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
		unix, err := time.ParseDuration(at + "s")
		if err != nil {
			return err
		}
		r.until = time.Unix(0, int64(unix)).UTC()
		r.Ended, r.State = r.until.Truncate(time.Second), State(why)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case n.exists(kept, "order"):
		r.State = Rebooting
	default:
		r.State = Lost
	}
	switch r.State {
	case Stopped:
		r.Problems = append(r.Problems, fmt.Sprintf("it was ended after %s of %d minutes", r.Ended.Sub(r.Started), r.Minutes))
	case Late:
		r.Problems = append(r.Problems, "the node came up after the end of the rehearsal, or its clock was wrong: nothing was cut after the reboot")
	case Lost:
		r.Problems = append(r.Problems, "a power cut, or a boot that the rehearsal did not order, ended it")
	}
	return nil
}

// counts gathers what nft counted, in each boot.
func (n *Node) counts(ctx context.Context, r *Report) error {
	var lists [][]byte
	if r.State == Running {
		r.Boots++
		out, err := n.run(ctx, "", "nft", "-j", "list", "table", "inet", table)
		if err != nil && n.exists(live) {
			r.Problems = append(r.Problems, fmt.Sprintf("the rules are not there: %v", err))
		} else if err == nil {
			lists = append(lists, out)
		}
	}
	paths, err := filepath.Glob(n.path(kept, "counts.*"))
	if err != nil {
		return fmt.Errorf("the counts: %w", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("the counts: %w", err)
		}
		r.Boots++
		if len(strings.TrimSpace(string(data))) > 0 { // else missed has it
			lists = append(lists, data)
		}
	}
	if len(paths) == 0 && r.State != Running && r.State != Rebooting {
		r.Problems = append(r.Problems, "what was counted is lost")
	}
	sum := make(map[Reached]int64)
	for _, list := range lists {
		found, err := parseCounts(list, r.Units)
		if err != nil {
			return err
		}
		for _, f := range found {
			attempts := f.Attempts
			f.Attempts = 0
			sum[f] += attempts
		}
	}
	r.Reached = make([]Reached, 0, len(sum))
	for key, attempts := range sum {
		key.Attempts = attempts
		r.Reached = append(r.Reached, key)
	}
	slices.SortFunc(r.Reached, func(a, b Reached) int {
		if c := strings.Compare(a.Unit+" "+a.Address+" "+a.Protocol, b.Unit+" "+b.Address+" "+b.Protocol); c != 0 {
			return c
		}
		return a.Port - b.Port
	})
	return nil
}

// missed adds the units that were not cut all the time, and those that did not run at the end.
func (n *Node) missed(r *Report) {
	var names []string
	for _, dir := range []string{kept, live} {
		data, err := os.ReadFile(n.path(dir, "missed"))
		if err == nil {
			names = append(names, strings.Fields(string(data))...)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		unit, down := strings.CutPrefix(name, "down:")
		switch {
		case name == "table":
			r.Problems = append(r.Problems, "another program removed the rules before the end (a restart of nftables.service flushes all)")
		case down:
			r.Problems = append(r.Problems, unit+" did not run at the end, so that images may not have been asked for: its journal says why")
		default:
			r.Problems = append(r.Problems, name+" started and was not cut: the journal of "+unitName+" and of the unit says why")
		}
	}
}

// asked gathers which images were asked for, from the journal. What was pulled in the same
// second before since, or after the end, does not count.
func (n *Node) asked(ctx context.Context, r *Report, since time.Time) error {
	words := []string{"journalctl", "--no-pager", "--quiet", "--output=json", "--output-fields=MESSAGE,_SYSTEMD_UNIT", fmt.Sprintf("--since=@%d.%06d", since.Unix(), since.Nanosecond()/1000)}
	until := r.until
	if until.IsZero() {
		until = r.Started.Add(time.Duration(r.Minutes)*time.Minute + grace)
	}
	words = append(words, fmt.Sprintf("--until=@%d.%06d", until.Unix(), until.Nanosecond()/1000))
	units := append(slices.Clone(r.Units), kubelet)
	for _, unit := range append(units, journald) {
		words = append(words, "--unit="+unit)
	}
	if _, err := n.run(ctx, "", "journalctl", "--sync"); err != nil {
		return err
	}
	p := newPulls()
	if err := n.stream(ctx, "", p, words...); err != nil {
		return err
	}
	r.Images = p.sorted()
	for _, unit := range units {
		if p.lost[unit] {
			r.Problems = append(r.Problems, "the journal left messages of "+unit+" out (RateLimitBurst in journald.conf): which images were asked for is not known")
		}
	}
	if p.more {
		r.Problems = append(r.Problems, fmt.Sprintf("more than %d images were asked for: the others are not listed", maxImages))
	}
	return nil
}
