package slot

import (
	"github.com/nodeseal/nodeseal/internal/progress"
)

// Target returns the slot that Fill or Install would fill, and changes nothing; already
// says that holds is true of what it has. A slot that is not there or hollow counts as
// free. Errors are a *FullError, what is wrong with the slots, or wrap filelock.ErrBusy.
func (r *Root) Target(warn progress.Func, holds func(*Slot) bool) (n Name, already bool, err error) {
	if err := r.idle(); err != nil {
		return "", false, err
	}
	bad := make(faults)
	missing := Name("")
	for _, n := range Names() {
		if _, err := r.Read(n); err == nil {
			continue
		} else if r.Exists(n) && !hollow(r.Path(n)) {
			bad.add(n, err)
			continue
		}
		if missing == "" {
			missing = n
		}
	}
	for _, n := range Names() { // a slot that has it comes before one that is free
		if s, err := r.Read(n); bad[n] == nil && err == nil && holds(s) {
			return n, true, nil
		}
	}
	for _, n := range Names() {
		if n == missing {
			return n, false, nil
		}
		if s, err := r.Read(n); bad[n] == nil && err == nil && s.Free() {
			if err := bad[n.Other()]; err != nil {
				warn.Warn("slot " + string(n.Other()) + " is left as it is: " + err.Error())
			}
			return n, false, nil
		}
	}
	if err := bad.err(); err != nil {
		return "", false, err
	}
	return "", false, r.full()
}
