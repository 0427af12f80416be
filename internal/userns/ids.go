package userns

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
)

// idRange is ids on the machine that a user may use in namespaces.
type idRange struct{ start, count uint32 }

// kind is what is mapped: users or groups.
type kind struct {
	mapFile string // below /proc/PID
	tool    string // writes mapFile for an ordinary user, after looking into ranges
	ranges  string // subuid(5), subgid(5)
	own     int    // the id of this process
}

// mapIDs makes the user of this process root in the namespace of process pid,
// with the further ids that the system gives him.
func mapIDs(ctx context.Context, pid int) error {
	users := kind{"uid_map", "newuidmap", "/etc/subuid", os.Geteuid()}
	groups := kind{"gid_map", "newgidmap", "/etc/subgid", os.Getegid()}
	if !mapRanges(ctx, pid, groups) {
		// The kernel wants this before it takes a group map from an ordinary
		// user: leaving a group could give access.
		if err := writeProc(pid, "setgroups", "deny"); err != nil {
			return err
		}
		if err := mapOwn(pid, groups); err != nil {
			return err
		}
	}
	if !mapRanges(ctx, pid, users) {
		return mapOwn(pid, users)
	}
	return nil
}

// mapRanges maps root to the own id and what follows to the subordinate ones.
// It reports false, with nothing changed, where that is not possible here.
func mapRanges(ctx context.Context, pid int, k kind) bool {
	tool, err := exec.LookPath(k.tool)
	if err != nil {
		return false
	}
	f, err := os.Open(k.ranges)
	if err != nil {
		return false
	}
	defer f.Close()
	ranges, err := parseRanges(f, owners())
	if err != nil || len(ranges) == 0 {
		return false
	}
	args := []string{strconv.Itoa(pid), "0", strconv.Itoa(k.own), "1"}
	inside := uint64(1)
	for _, r := range ranges {
		args = append(args, strconv.FormatUint(inside, 10), strconv.FormatUint(uint64(r.start), 10), strconv.FormatUint(uint64(r.count), 10))
		inside += uint64(r.count)
	}
	return exec.CommandContext(ctx, tool, args...).Run() == nil
}

// mapOwn maps root to the own id and nothing else.
func mapOwn(pid int, k kind) error {
	return writeProc(pid, k.mapFile, fmt.Sprintf("0 %d 1\n", k.own))
}

func writeProc(pid int, name, content string) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, name), []byte(content), 0); err != nil {
		return fmt.Errorf("giving ids to the user namespace: %w", err)
	}
	return nil
}

// owners is how subuid(5) may name the user of this process: by number and by
// name. Groups are owned by the user, too.
func owners() []string {
	uid := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(uid); err == nil {
		return []string{uid, u.Username}
	}
	return []string{uid}
}

// parseRanges reads the lines owner:start:count of a subuid(5) file that belong
// to one of owners, in their order. A line that breaks the form is an error, for
// the tools refuse such a file.
func parseRanges(r io.Reader, owners []string) ([]idRange, error) {
	var ranges []idRange
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, ":")
		if len(fields) != 3 {
			return nil, fmt.Errorf("subordinate ids: line %q has %d fields, want 3", line, len(fields))
		}
		start, startErr := strconv.ParseUint(fields[1], 10, 32)
		count, countErr := strconv.ParseUint(fields[2], 10, 32)
		if err := errors.Join(startErr, countErr); err != nil {
			return nil, fmt.Errorf("subordinate ids: line %q: %w", line, err)
		}
		for _, owner := range owners {
			if fields[0] == owner && count > 0 {
				ranges = append(ranges, idRange{uint32(start), uint32(count)})
				break
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("subordinate ids: %w", err)
	}
	return ranges, nil
}

// countIDs adds up the ids of a uid_map or gid_map.
func countIDs(idMap string) uint64 {
	var sum uint64
	for line := range strings.Lines(idMap) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		if n, err := strconv.ParseUint(fields[2], 10, 64); err == nil {
			sum += n
		}
	}
	return sum
}
