//! Which container a process runs in, read off what the kernel says of its control groups and mounts.

use std::collections::BTreeMap;

/// The files that an engine mounts into every container, the one least likely to be somebody's own mount first.
const MOUNTED: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// The container of a process by `/proc/self/cgroup`, else by `/proc/self/mountinfo`.
///
/// In a control group namespace of its own, the default with cgroup v2, only the mounts tell.
pub(super) fn of(cgroup: &str, mounts: &str) -> Option<String> {
    of_cgroup(cgroup).or_else(|| of_mounts(mounts))
}

/// From lines such as `4:memory:/docker/<id>` or `0::/system.slice/docker-<id>.scope`.
///
/// Of an engine within a container both ids are in the path: the innermost is ours.
fn of_cgroup(text: &str) -> Option<String> {
    let path = |line: &str| line.splitn(3, ':').nth(2).map(str::to_owned);
    text.lines().filter_map(path).find_map(|path| path.rsplit('/').find_map(of_group).map(str::to_owned))
}

/// One control group: `<id>` itself, `docker-<id>.scope`, `libpod-<id>`, `cri-containerd-<id>.scope`.
fn of_group(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (runtime, id) = match name.rsplit_once(['-', ':']) {
        Some((runtime, id)) => (Some(runtime), id),
        None => (None, name),
    };
    // Podman's monitor has a group beside the container's, with the same id, but is not in it.
    (is_id(id) && runtime.is_none_or(|runtime| !runtime.ends_with("conmon"))).then_some(id)
}

/// From the mounts of the files that an engine writes for each container, in the order of proc(5):
/// id, parent, device, root, mount point, ...
///
/// A container that joined another's network was given that one's files, and is taken for it.
fn of_mounts(text: &str) -> Option<String> {
    let mut roots: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(' ').skip(3);
        if let (Some(root), Some(point)) = (fields.next(), fields.next()) {
            // The last mount covers those before it.
            roots.insert(point, root);
        }
    }
    MOUNTED.iter().find_map(|point| of_root(roots.get(point)?).map(str::to_owned))
}

/// The id in `.../containers/<id>/hostname` (Docker) or `.../overlay-containers/<id>/userdata/hostname` (podman).
///
/// A pod's sandbox of Kubernetes (`.../sandboxes/<id>/hostname`) is another container than the one inside.
fn of_root(root: &str) -> Option<&str> {
    let segments: Vec<&str> = root.split('/').collect();
    let (kind, id) = match segments[..] {
        [.., kind, id, _] if kind == "containers" => (kind, id),
        [.., kind, id, "userdata", _] => (kind, id),
        _ => return None,
    };
    ((kind == "containers" || kind.ends_with("-containers")) && is_id(id)).then_some(id)
}

/// 64 hexadecimal digits, as every engine writes a full id.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3d2b1c0f9e8d7c6b5a493827160f5e4d3c2b1a09f8e7d6c5b4a3928170f6e5d4";
    const OTHER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

    fn cgroup(lines: &str) -> Option<String> {
        of(&lines.replace("<id>", ID).replace("<other>", OTHER), "")
    }

    fn mounts(lines: &str) -> Option<String> {
        of("0::/\n", &lines.replace("<id>", ID).replace("<other>", OTHER))
    }

    #[test]
    fn control_groups_of_every_engine() {
        for (engine, lines) in [
            (
                "docker, v1",
                "12:pids:/docker/<id>\n11:memory:/docker/<id>\n1:name=systemd:/docker/<id>\n0::/docker/<id>",
            ),
            ("docker, v1, systemd", "11:memory:/system.slice/docker-<id>.scope\n0::/system.slice/docker-<id>.scope\n"),
            ("docker, v2, the host's namespace", "0::/system.slice/docker-<id>.scope\n"),
            ("docker, rootless", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-<id>.scope"),
            ("docker, systemd inside", "1:name=systemd:/docker/<id>/init.scope\n"),
            ("docker, a parent of its own", "9:cpu,cpuacct:/ecs/task-1/<id>"),
            ("docker in docker", "4:memory:/docker/<other>/docker/<id>"),
            ("podman", "0::/machine.slice/libpod-<id>.scope"),
            ("podman, cgroupfs", "9:memory:/libpod_parent/libpod-<id>"),
            (
                "podman, rootless",
                "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<id>.scope/container",
            ),
            ("kubernetes, v1", "11:memory:/kubepods/besteffort/pod0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0/<id>"),
            (
                "kubernetes, systemd",
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f1e.slice/cri-containerd-<id>.scope",
            ),
            (
                "kubernetes, containerd v1",
                "5:cpu:/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:<id>",
            ),
            ("cri-o", "0::/kubepods.slice/kubepods-pod1.slice/crio-<id>.scope"),
        ] {
            assert_eq!(cgroup(lines).as_deref(), Some(ID), "{engine}");
        }
    }

    #[test]
    fn mounts_of_every_engine() {
        for (engine, lines) in [
            (
                "docker",
                "1519 1500 0:210 / /dev/shm rw,nosuid - tmpfs shm rw,size=65536k\n\
                 1520 1500 254:1 /var/lib/docker/containers/<id>/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw\n\
                 1521 1500 254:1 /var/lib/docker/containers/<id>/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n\
                 1522 1500 254:1 /var/lib/docker/containers/<id>/hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw\n",
            ),
            (
                "docker on a file system of its own",
                "9 8 8:3 /containers/<id>/hostname /etc/hostname rw - xfs /dev/sdc rw",
            ),
            ("docker elsewhere", "9 8 8:3 /srv/engine/containers/<id>/hosts /etc/hosts rw - ext4 /dev/sda1 rw"),
            (
                "docker, rootless",
                "9 8 0:40 /home/me/.local/share/docker/containers/<id>/hostname /etc/hostname rw - btrfs /dev/sda rw",
            ),
            (
                "podman",
                "9 8 0:25 /containers/storage/overlay-containers/<id>/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw",
            ),
            (
                "podman, vfs",
                "9 8 0:25 /var/lib/containers/storage/vfs-containers/<id>/userdata/resolv.conf /etc/resolv.conf rw - ext4 x rw",
            ),
            (
                "somebody's own file over one of them",
                "9 8 8:1 /srv/containers/<other>/hosts /etc/hosts rw - ext4 x rw\n\
                 8 8 8:1 /var/lib/docker/containers/<id>/hostname /etc/hostname rw - ext4 x rw",
            ),
            (
                "covered by a later mount",
                "8 8 8:1 /var/lib/docker/containers/<other>/hostname /etc/hostname rw - ext4 x rw\n\
                 9 8 8:1 /var/lib/docker/containers/<id>/hostname /etc/hostname rw - ext4 x rw",
            ),
        ] {
            assert_eq!(mounts(lines).as_deref(), Some(ID), "{engine}");
        }
        let both = format!("0::/docker/{ID}\n");
        let mounted = format!("9 8 8:3 /containers/{OTHER}/hostname /etc/hostname rw - xfs x rw");
        assert_eq!(of(&both, &mounted).as_deref(), Some(ID), "the control group is ours alone");
    }

    #[test]
    fn a_plain_machine_is_no_container() {
        for lines in [
            "",
            "0::/",
            "0::/user.slice/user-1000.slice/session-3.scope",
            "12:pids:/user.slice\n1:name=systemd:/init.scope\n",
            "0::/system.slice/docker.service",
            "0::/system.slice/containerd.service",
            "0::/machine.slice/libpod-conmon-<id>.scope",
        ] {
            assert_eq!(cgroup(lines), None, "{lines}");
        }
        for lines in [
            "",
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
            // The file of a machine that runs containers, seen from outside.
            "50 22 0:44 / /var/lib/docker/containers/<id>/mounts/shm rw - tmpfs shm rw",
            "51 22 0:45 / /var/lib/docker/overlay2/<id>/merged rw - overlay overlay rw",
            // The pause container of a pod, and the pod's file.
            "9 8 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/<id>/hostname /etc/hostname rw - ext4 x rw",
            "9 8 8:1 /var/lib/kubelet/pods/0f1e2d3c/etc-hosts /etc/hosts rw - ext4 x rw",
            "9 8 8:1 /var/lib/docker/volumes/<id>/_data /etc/hosts rw - ext4 x rw",
        ] {
            assert_eq!(mounts(lines), None, "{lines}");
        }
    }

    #[test]
    fn hostile_text_is_no_container() {
        let (upper, short, long) = (ID.to_uppercase(), &ID[1..], format!("{ID}0"));
        for lines in [
            ":",
            "::",
            ":::::",
            "12:pids",
            "no colon at all",
            "0::/docker/",
            &format!("0::/docker/{upper}"),
            &format!("0::/docker/{short}"),
            &format!("0::/docker/{long}"),
            &format!("0::/docker/{}", "é".repeat(32)),
            &format!("{ID}:{ID}"),
            &format!("0::/docker/{ID}\\012"),
            &"/".repeat(100_000),
            &"0::/-".repeat(10_000),
        ] {
            assert_eq!(cgroup(lines), None, "{}", lines.chars().take(80).collect::<String>());
        }
        for lines in [
            " ",
            "1 2 3",
            "1 2 3 4",
            "1 2 3 / /etc/hosts",
            "1 2 3 // /etc/hosts",
            &format!("1 2 3 {ID} /etc/hosts - x"),
            &format!("1 2 3 /containers/{ID} /etc/hosts - x"),
            &format!("1 2 3 /containers/{upper}/hosts /etc/hosts - x"),
            &format!("1 2 3 /containers/{short}/hosts /etc/hosts - x"),
            &format!("1 2 3 /containers/{ID}/hosts /etc/hosts\\040 - x"),
            &format!("1 2 3 /containers/{ID}/hosts /mnt/etc/hosts - x"),
        ] {
            assert_eq!(mounts(lines), None, "{lines}");
        }
    }
}
