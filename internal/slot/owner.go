package slot

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/store"
)

// inPod takes the pod out of the name that a Kubernetes runtime gives a container:
// k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT. None of these has a _ in it.
func (u *Use) inPod(name string) {
	words := strings.Split(name, "_")
	if len(words) == 6 && words[0] == "k8s" {
		u.Container, u.Pod, u.Namespace = words[1], words[2], words[3]
	}
}

// owners are the records of the stores that mounts have their writable layers in, by graph
// root: of other primary stores than the node's, as far as they can be read.
type owners map[string]*store.Primary

// mount says what an overlay is of that no record of the primary stores has: the pod, or
// the container, that the records beside it name, else where it is mounted. To a process
// in a container that is / for each of them, so that the layer is named then.
func (o *owners) mount(m *liveMount) Use {
	u := Use{Kind: Mount, Name: m.point, Running: true}
	if m.store == "" {
		return u
	}
	if u.Name == "/" {
		u.Name = filepath.Join(m.store, "overlay", m.upperLayer)
	}
	for _, c := range o.records(m.store).Containers {
		if c.LayerID != m.upperLayer {
			continue
		}
		u.Name = nameOf(c.Names, c.ID)
		if u.inPod(u.Name); u.Pod != "" {
			u.Name = u.Namespace + "/" + u.Pod
			u.Container = ""
		} else {
			u.Container = u.Name
		}
		return u
	}
	return u
}

// records reads the records of a graph root, once. Records that another user than
// root owns are not read: such a user could mount a slot's layers, and have any records.
func (o *owners) records(graphRoot string) *store.Primary {
	if records, ok := (*o)[graphRoot]; ok {
		return records
	}
	if *o == nil {
		*o = make(owners)
	}
	records := new(store.Primary)
	var st unix.Stat_t
	if err := unix.Lstat(graphRoot, &st); err == nil && st.Uid == uint32(os.Geteuid()) {
		if found, err := store.ReadPrimary(store.Files(graphRoot)); err == nil {
			records = found
		}
	}
	(*o)[graphRoot] = records
	return records
}

// components returns the names that the slot's release gives its images, by image ID.
func (s *Slot) components() map[string]string {
	names := make(map[string]string)
	if s.Inventory == nil {
		return names
	}
	for _, img := range s.Store.Images {
		if c := component(s.Inventory, img.Names); c != "" {
			names[img.ID] = c
		}
	}
	return names
}

// component returns the name that the release of inv gives the image of these names.
func component(inv *bundle.Inventory, names []string) string {
	for i := range inv.Images {
		if img := &inv.Images[i]; slices.Contains(names, img.Ref) {
			if c := imagelist.Component(img.From); c != "" {
				return c
			}
		}
	}
	return ""
}
