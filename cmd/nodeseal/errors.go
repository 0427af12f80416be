package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/nodeseal/nodeseal/bundle/signature"
	"github.com/nodeseal/nodeseal/bundle/split"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/carry"
	"github.com/nodeseal/nodeseal/internal/diskbudget"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/imagelist/cluster"
	"github.com/nodeseal/nodeseal/internal/imagelist/imagefile"
	"github.com/nodeseal/nodeseal/internal/imagelist/sources"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/installneeds"
	"github.com/nodeseal/nodeseal/internal/mirror"
	"github.com/nodeseal/nodeseal/internal/mirror/deltas"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
	"github.com/nodeseal/nodeseal/internal/own"
	"github.com/nodeseal/nodeseal/internal/parts"
	"github.com/nodeseal/nodeseal/internal/pull"
	"github.com/nodeseal/nodeseal/internal/pull/policy"
	"github.com/nodeseal/nodeseal/internal/pull/session"
	"github.com/nodeseal/nodeseal/internal/push"
	"github.com/nodeseal/nodeseal/internal/rehearse"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/successor"
	"github.com/nodeseal/nodeseal/internal/trust"
	"github.com/nodeseal/nodeseal/internal/ui"
	"github.com/nodeseal/nodeseal/internal/visible"
	"github.com/nodeseal/nodeseal/internal/whatis"
	"github.com/nodeseal/nodeseal/layout"
)

// The exit codes of every command.
const (
	exitDone         = 0
	exitFailed       = 1
	exitUsage        = 2
	exitPartial      = 3
	exitDamaged      = 4
	exitPrecondition = 5
	exitInterrupted  = 130
)

var (
	// errPartial says that some images failed; they were listed.
	errPartial = errors.New("done in part")
	// errFound says that a check found damage or something missing; it was listed.
	errFound = errors.New("damaged or missing")
	// errInterrupted says that somebody ended the command.
	errInterrupted = errors.New("interrupted")
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

// Unwrap returns the cause.
func (u usageError) Unwrap() error { return u.error }

// preconditionError is an error that something on this machine has to change for.
type preconditionError struct{ error }

// Unwrap returns the cause.
func (p preconditionError) Unwrap() error { return p.error }

// report prints err with the next step and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	err = keyError(named(err))
	code := exitCode(err)
	var part *split.Error
	if errors.As(err, &part) && !strings.HasPrefix(err.Error(), "part ") {
		err = fmt.Errorf("part %s is damaged: %w", part.Part, err)
	}
	var child childExit
	if errors.Is(err, errFound) || errors.Is(err, errPartial) || errors.As(err, &child) {
		return code // what was found was shown
	}
	if code == exitInterrupted {
		// Which of many waits the end reached first says nothing to anybody.
		err = errInterrupted
	}
	fmt.Fprintf(ui.Paint(a.stderr), "nodeseal: %s\n", visible.Lines(err.Error()))
	if h := hint(err); h != "" {
		h = strings.ReplaceAll(h, "nodeseal COMMAND", a.command)
		fmt.Fprintf(a.stderr, "  -> %s\n", visible.Line(h))
	}
	return code
}

// named returns what is at the path of a bundle that cannot be opened, where that is
// something else that is known, and otherwise err.
func named(err error) error {
	var open *archive.OpenError
	if errors.As(err, &open) && is(err, bundle.ErrDamaged, safefile.ErrNotRegular) {
		if other := whatis.NoBundle(open.Path); other != nil {
			return other
		}
	}
	return err
}

// exitCode returns the exit code for err.
func exitCode(err error) int {
	var stop interrupted
	var usage usageError
	var child childExit
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &child):
		return int(child)
	case errors.As(err, &stop), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, new(*whatis.Error)), is(err, nodeconfig.ErrStorePath, slot.ErrName, imagefile.ErrName, imagefile.ErrTransport, rehearse.ErrUsage, trust.ErrStdin, installneeds.ErrSeveral, sources.ErrUse):
		return exitUsage
	case errors.Is(err, errPartial):
		return exitPartial
	case errors.Is(err, bundle.ErrUnsupported):
		return exitPrecondition
	case is(err, errFound, install.ErrLacks, base.ErrIncomplete, bundle.ErrDamaged, bundle.ErrInventory, bundle.ErrChain, signature.ErrMismatch, store.ErrDamaged,
		policy.ErrRefused, imagefile.ErrDamaged, layout.ErrDigest, layout.ErrSize, seal.ErrLockFile, installneeds.ErrNoRelease, installneeds.ErrContradicts):
		return exitDamaged
	case isPrecondition(err):
		return exitPrecondition
	}
	return exitFailed
}

func isPrecondition(err error) bool {
	var pre preconditionError
	var unsupported *seal.UnsupportedError
	var privilege *seal.PrivilegeError
	var overlap *nodeconfig.OverlapError
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return true // not root
	}
	return push.IsPrecondition(err) || errors.As(err, &pre) || errors.As(err, &unsupported) || errors.As(err, &privilege) || errors.As(err, &overlap) ||
		is(err, carry.ErrNoBundle, carry.ErrBundles, base.ErrNone, store.ErrPrecondition, store.ErrExists, filelock.ErrBusy, mirror.ErrNoSpace, diskbudget.ErrTooSmall, own.ErrForeign,
			parts.ErrDir, rehearse.ErrPrecondition, installneeds.ErrBase, site.ErrLacks, syscall.ENOSPC, syscall.EDQUOT)
}

func is(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// hint returns what to do next about err, "" where the error says it.
func hint(err error) string {
	var usage usageError
	var badKey *signature.KeyError
	var incomplete *incompleteError
	var privilege *seal.PrivilegeError
	var unsupported *seal.UnsupportedError
	var full *slot.FullError
	var inUse *slot.InUseError
	var unread *sources.IncompleteError
	var tooFull *store.UsageError
	var noRoom *store.NeedError
	var kernel *form.KernelError
	var slotImage *slot.ImageError
	var keptList *slot.KeptError
	var noBase *base.NotThereError
	var badBase *base.DamagedError
	var unknown *net.DNSError
	var other *whatis.Error
	var page *pull.WebPageError
	var token *session.TokenError
	var unsigned *trust.UnsignedError
	var earlier *deltas.EarlierError
	var refused *layerrules.Error
	var tooOld *successor.TooOldError
	var later *bundle.UnsupportedError
	switch {
	case errors.As(err, &other):
		return other.Next()
	case push.Next(err) != "":
		return push.Next(err)
	case errors.As(err, &tooOld):
		return tooOld.Next()
	case errors.Is(err, bundle.ErrUnsupported):
		version := "the version that the message asks for"
		if errors.As(err, &later) && later.Needs != "" {
			version = "nodeseal " + later.Needs
		}
		return "get " + version + ", or a later one; on a node, a stick that has it installs it: sh " + machine.InstallFile + " STICK (docs/versions.md)"
	case errors.As(err, &noBase), is(err, base.ErrNone, base.ErrIncomplete):
		return "name a store or a bundle that has these layers with --base (it may be repeated), or take a bundle that was made without --since; nodeseal inspect BUNDLE says what the base is"
	case errors.As(err, &badBase) && badBase.Path != "":
		return "nodeseal verify " + visible.ShellWord(badBase.Path) + " names all that is damaged there; repair it, name another base with --base, or take a bundle that was made without --since"
	case errors.Is(err, installneeds.ErrNoRelease):
		return "bundle the release that is to be installed: nodeseal bundle --release IMAGE -o NAME.tar.zst"
	case errors.Is(err, installneeds.ErrContradicts):
		return "do not install from it: bundle the release from where it is published, with nodeseal bundle --release IMAGE -o NAME.tar.zst"
	case errors.Is(err, site.ErrLacks):
		return "nodeseal verify BUNDLE --install VERSION names all of them, with what to do"
	case errors.Is(err, installneeds.ErrSeveral):
		return "name one of them with its patch level: --install 4.18.3"
	case errors.Is(err, installneeds.ErrBase):
		return "bundle the whole release, without --since"
	case errors.As(err, &earlier) && errors.Is(err, bundle.ErrDamaged):
		return "nodeseal verify " + visible.ShellWord(earlier.Path) + " names all that is damaged there; --delta layers does without its files"
	case errors.As(err, &refused):
		return "no node could unpack it: rebuild the image without what the message names, or bundle the others with --keep-going"
	case install.RefusedByRules(err):
		return "nodeseal verify BUNDLE names every layer that nodes refuse; nodeseal import BUNDLE --images LIST takes the images that are listed"
	case errors.As(err, &slotImage):
		return "nodeseal verify " + visible.ShellWord(slotImage.Point()) + " --repair BUNDLE makes it again; to give the image up: nodeseal unseal, then remove the file"
	case errors.As(err, &keptList):
		return "that store stays while any container may read it: end those of the slot, or restart the node; then nodeseal clean removes it"
	case errors.Is(err, policy.ErrRefused):
		return "nodes with this policy would not run it: bundle one that is signed, or the rest with --keep-going; --dry-run --json lists what has no signature"
	case errors.Is(err, mirror.ErrNoOriginal):
		return "run it where a registry has the image, name a slot that keeps its layers with --store, or bundle it unpacked with --keep-original none (docs/upgrade.md says which releases read it from a registry)"
	case errors.Is(err, mirror.ErrAttachments):
		return "mend it and run the same command again, which goes on where it was; --no-attachments leaves signatures out, --keep-going the image"
	case errors.As(err, &kernel):
		return "import with --format dir, which needs no EROFS"
	case errors.As(err, &full):
		return "nodeseal status says what each slot holds and what still needs it; nodeseal retire SLOT empties one"
	case errors.As(err, &inUse) && inUse.Waiver() != "":
		return "to empty it all the same: nodeseal retire " + string(inUse.Slot) + " " + inUse.Waiver() + slot.RootFlag(inUse.Root)
	case errors.As(err, &inUse):
		return "end them or move them to the new release, or let nodeseal retire --when-safe wait for it; nodeseal status --json names all"
	case errors.As(err, &unread):
		return "docs/rbac.yaml has an account that may read all of it; where no account may, retire without --cluster asks this node only"
	case errors.As(err, &tooFull):
		return "nothing was changed: report these figures to the administrator, who makes room, or names kubelet's own threshold with --gc-threshold"
	case errors.As(err, &noRoom):
		return "nothing was changed: report these figures to the administrator; when there is room, run the same command again"
	case errors.Is(err, imagefile.ErrDamaged):
		return "write the file again where it was made (podman save, skopeo copy), and compare the sums of both copies"
	case errors.Is(err, parts.ErrDir):
		return "name another directory with -o"
	case errors.Is(err, parts.ErrOne):
		return "use it as it is; nodeseal split BUNDLE --size SIZE makes parts of it"
	case errors.Is(err, carry.ErrUnsigned):
		return "nodeseal sign BUNDLE --key KEY signs it"
	case errors.Is(err, own.ErrForeign):
		return "remove what the error names, or give it to the user that runs nodeseal (chown) and close it to others (chmod go-w); bundle takes another directory with --work"
	case errors.Is(err, carry.ErrNoBundle):
		return "is it the right stick? ls shows its files: a bundle's name ends with .tar.zst or .tar.zst.000"
	case errors.Is(err, carry.ErrBundles):
		return "leave the one that is meant, or name it: nodeseal import DIR/BUNDLE"
	case errors.Is(err, filelock.ErrBusy):
		return "wait for the other command to end, then run this one again; bundle takes another directory with --work"
	case errors.Is(err, errInterrupted):
		return "nothing half-made has a final name; run the same command again to go on"
	case errors.As(err, &badKey) && badKey.Fix != "":
		return "make a right one: " + badKey.Fix
	case errors.As(err, &usage):
		return "nodeseal COMMAND --help"
	case errors.Is(err, store.ErrExists):
		return "a store is never overwritten: nodeseal reseal BUNDLE brings another release into the free slot beside it; or name another directory with --store"
	case errors.Is(err, install.ErrLacks):
		return "nodeseal bundle --images LIST -o NAME.tar.zst makes a bundle that has them; nodeseal inspect BUNDLE says what this one has"
	case errors.Is(err, install.ErrNotRoot):
		return "run it as root on the node (sudo); to try it out without root: podman unshare nodeseal ..."
	case errors.As(err, &privilege):
		return "run it as root on the node, or leave the seal out with --no-seal"
	case errors.As(err, &unsupported):
		return "put the store on ext4, XFS or btrfs, or leave the seal out with --no-seal"
	case errors.Is(err, seal.ErrNotAStore):
		return "name the directory that nodeseal import --store made"
	case errors.Is(err, install.ErrDevice):
		return "import it without --no-devices where the image's maker is trusted"
	case errors.As(err, new(*split.Error)):
		return "copy the part that is named here again from where the bundle was made; nodeseal verify BUNDLE, here, says which others are damaged"
	case is(err, bundle.ErrDamaged, store.ErrDamaged):
		return "copy the bundle to the stick again; nodeseal verify BUNDLE, there, names what is damaged"
	case errors.Is(err, cluster.ErrKubeconfig):
		return "name it with --kubeconfig FILE; without a cluster: where oc works, oc get all,mc,mcp,nodes -A -o json > objects.json, and here nodeseal list --images objects.json, or nodeseal audit --objects objects.json"
	case errors.Is(err, cluster.ErrUnreachable):
		return "check --kubeconfig and --context; oc whoami says whether that login still holds"
	case errors.As(err, &incomplete):
		return "mend what is listed above, or bundle what could be resolved with --keep-going"
	case errors.As(err, &page), errors.As(err, &token):
		return "a proxy or a portal may answer in its place: look at that address with curl -v, check HTTPS_PROXY and NO_PROXY, the name and port, and the mirrors (--registries-conf)"
	case errors.Is(err, pull.ErrUnauthorized), errors.Is(err, pull.ErrDenied):
		return "log in (podman login, skopeo login) or name the credentials with --authfile"
	case errors.Is(err, pull.ErrNotFound):
		return "check the reference and the mirrors (--registries-conf); --keep-going bundles the rest"
	case is(err, syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH), errors.As(err, &unknown):
		return "check the registry's name and port, and the mirrors that stand before it (--registries-conf, --mirrors)"
	case errors.Is(err, bundle.ErrSchema1):
		return "--keep-going bundles the other images"
	case errors.As(err, &unsigned) && unsigned.Inventory:
		return "copy the signature of its bundle, NAME.tar.zst" + signature.Suffix + ", beside it as " + visible.ShellWord(filepath.Base(unsigned.Signature)) + "; nodeseal sign BUNDLE --key KEY makes it"
	case errors.As(err, &unsigned):
		return "copy " + visible.ShellWord(filepath.Base(unsigned.Signature)) + " beside it from where the bundle was made; there, nodeseal sign BUNDLE --key KEY makes it"
	case errors.Is(err, signature.ErrMismatch):
		return "do not use the bundle before you know who made it; the key is the one that belongs to --sign-key"
	case errors.Is(err, diskbudget.ErrTooSmall):
		return "nothing was moved: leave images out (--exclude), keep no original layers (--keep-original none), or put the stores on a disk of their own"
	case errors.Is(err, mirror.ErrNoSpace):
		return "nothing was moved: make room, or name other places with --work and -o"
	case is(err, syscall.ENOSPC, syscall.EDQUOT):
		return "make room and run the same command again"
	case errors.Is(err, fs.ErrPermission):
		return "run it as root"
	case errors.Is(err, fs.ErrNotExist):
		return "check the name; a stick must be mounted first (lsblk -o NAME,LABEL,MOUNTPOINTS shows it)"
	}
	return ""
}
