#!/bin/sh
# From a netlist to a bitstream for 7-series parts, in a private folder: nextpnr-himbaechel-xilinx with its chip
# databases, and Project X-Ray's database of what each bit means, with its tools.
#
#   scripts/install_nextpnr.sh [FOLDER]      (default: ${XDG_DATA_HOME:-$HOME/.local/share}/nmp-flow/nextpnr)
#
# The packages are Debian unstable's, from the mirror this machine's apt is configured with; their signatures are
# checked by apt. They are unpacked, not installed: the system's own packages stay as they are, no root is needed, and
# the programs run with the unpacked C library. It takes 700 MB of disk and, beside the download (about 100 MB), ten
# seconds. Running the script again on a finished folder does nothing; a folder of an older version is filled anew.
set -eu

PACKAGES="nextpnr-himbaechel-xilinx nextpnr-himbaechel-xilinx-chipdb prjxray prjxray-database"
PROGRAMS="nextpnr-himbaechel-xilinx xc7frames2bit bitread"
SUITE=sid
FOLDER=${1:-${XDG_DATA_HOME:-$HOME/.local/share}/nmp-flow/nextpnr}
STARTED=$(date +%s)
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
    echo "error: $*" >&2
    exit 1
}

finish() {
    echo "$LAUNCHER"
    echo "$DATABASE"
    echo "$(du -sh "$FOLDER" | cut -f1) of disk, $(($(date +%s) - STARTED)) s"
    echo "flow.build finds both there by itself if the folder is the default one; otherwise:"
    echo "  export NMP_NEXTPNR=$LAUNCHER NMP_PRJXRAY=$DATABASE"
    exit 0
}

for tool in apt-get dpkg dpkg-deb; do
    command -v "$tool" >/dev/null || fail "$tool was not found: this script needs Debian or Ubuntu; \
elsewhere build nextpnr (himbaechel, xilinx) and set NMP_NEXTPNR to it"
done
[ "$(dpkg --print-architecture)" = amd64 ] || fail "the chip databases are packaged for amd64 only"

mkdir -p "$FOLDER" || fail "cannot create $FOLDER"
FOLDER=$(cd "$FOLDER" && pwd)
LAUNCHER=$FOLDER/bin/nextpnr-himbaechel-xilinx
DATABASE=$FOLDER/root/usr/share/prjxray/database
if [ -x "$LAUNCHER" ] && [ -x "$FOLDER/bin/bitread" ] && [ -d "$DATABASE/zynq7" ] &&
    "$LAUNCHER" --version >/dev/null 2>&1; then
    finish
fi

# The mirror apt uses for Debian; without one (Ubuntu, say) the user names it.
MIRROR=${NMP_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(ORIGIN) $(SITE)' 'Created-By: Packages' 2>/dev/null |
    sed -n 's/^Debian //p' | grep -v -e '-security' | head -n 1)}
[ -n "$MIRROR" ] || fail "apt has no Debian mirror configured (or 'apt-get update' never ran); \
set NMP_DEBIAN_MIRROR to the address of one"
[ -r "$KEYRING" ] || fail "$KEYRING is missing; apt-get install debian-archive-keyring"

WORK=$FOLDER/apt
OURS=$FOLDER/.made-by-install_nextpnr
for name in root bin apt; do
    [ ! -e "$FOLDER/$name" ] || [ -e "$OURS" ] || fail "$FOLDER/$name is there already and was not made by this script; \
give another folder"
done
: >"$OURS"
mkdir -p "$WORK/state/lists/partial" "$WORK/cache/archives/partial" "$WORK/parts"
: >"$WORK/status"
echo "deb [signed-by=$KEYRING arch=amd64] $MIRROR $SUITE main" >"$WORK/sources.list"
cat >"$WORK/apt.conf" <<END
Dir::State "$WORK/state";
Dir::State::status "$WORK/status";
Dir::Cache "$WORK/cache";
Dir::Etc::sourcelist "$WORK/sources.list";
Dir::Etc::sourceparts "$WORK/parts";
Dir::Etc::preferences "$WORK/no-preferences";
Dir::Etc::preferencesparts "$WORK/parts";
APT::Install-Recommends "false";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
Acquire::Languages "none";
END

echo "package lists of Debian $SUITE from $MIRROR ..."
apt-get -q -q -c "$WORK/apt.conf" update || fail "the package lists could not be fetched from $MIRROR"
echo "downloading $PACKAGES and what they need ..."
# An empty package status makes apt fetch every library, the C library included.
# shellcheck disable=SC2086
apt-get -q -q -y -c "$WORK/apt.conf" --download-only install $PACKAGES >/dev/null ||
    fail "the packages could not be fetched; see above"

echo "unpacking into $FOLDER/root ..."
rm -rf "$FOLDER/root.new"
mkdir -p "$FOLDER/root.new" "$FOLDER/bin"
for package in "$WORK"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$FOLDER/root.new" || fail "$package could not be unpacked; is the disk full?"
done
rm -rf "$FOLDER/root"
mv "$FOLDER/root.new" "$FOLDER/root"

LOADER=$(find "$FOLDER/root" -name 'ld-linux-x86-64.so.2' | head -n 1)
CHIPDB=$(find "$FOLDER/root" -type d -path '*himbaechel/xilinx' | head -n 1)
[ -n "$LOADER" ] && [ -n "$CHIPDB" ] && [ -d "$DATABASE/zynq7" ] || fail "the unpacked packages lack the loader or a \
database; remove $FOLDER and run this script again"
# The programs look for their data beside the running executable, which is the loader: so the loader goes beside them.
cp -L "$LOADER" "$FOLDER/root/usr/bin/loader" || fail "$FOLDER is full or read-only"
for name in $PROGRAMS; do
    [ -x "$FOLDER/root/usr/bin/$name" ] || fail "the unpacked packages lack $name; remove $FOLDER and run this script again"
    cat >"$FOLDER/bin/$name.new" <<END
#!/bin/sh
# Runs the unpacked program with the libraries unpacked beside it.
exec "$FOLDER/root/usr/bin/loader" --library-path "$FOLDER/root/usr/lib/x86_64-linux-gnu:$FOLDER/root/lib/x86_64-linux-gnu" "$FOLDER/root/usr/bin/$name" "\$@"
END
    chmod +x "$FOLDER/bin/$name.new"
    mv "$FOLDER/bin/$name.new" "$FOLDER/bin/$name"
done
"$LAUNCHER" --version || fail "$LAUNCHER does not run; remove $FOLDER and run this script again"
rm -rf "$WORK"
finish
