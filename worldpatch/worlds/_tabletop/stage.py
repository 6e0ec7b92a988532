"""The stage: one MuJoCo model per number of bodies, compiled once per process and re-dressed for every clip.

Compiling a model and making a renderer costs about 0.3 s, a frame about 2 ms; so bodies change shape, size, mass and
colour in place, and one OpenGL context serves every frame size.
"""

import atexit
import functools
import importlib
import os
from dataclasses import replace
from typing import Any

os.environ.setdefault("MUJOCO_GL", "osmesa")
os.environ.setdefault("LP_NUM_THREADS", "1")  # one rasteriser thread: clips are parallel over processes instead

import numpy as np
from jaxtyping import Float, UInt8

from worldpatch.worlds._tabletop.palette import COLOURS, TONES
from worldpatch.worlds._tabletop.records import Decor, Prop, Script, Solid, Trace

# Imported here because it reads MUJOCO_GL as it loads, and as Any because it fills its names in at run time.
mujoco: Any = importlib.import_module("mujoco")

ROOM = 4.0  # metres from the middle to each wall
STEP = 0.0025  # seconds, about; the true step divides a frame evenly
STRIDE = 4  # simulation steps between two looks at positions and contacts
STIFFNESS = 20000.0
BURST = 1.2  # m/s that the parts of a breaking solid gain
LARGEST = 1024  # pixels: the side of the off-screen buffer

# Restitution is no MuJoCo parameter. Measured for solref (-STIFFNESS, -damping): damping -> restitution.
_DAMPING = np.array([400.0, 150.0, 50.0, 0.0])
_RESTITUTION = np.array([0.029, 0.255, 0.594, 1.0])

_TYPES = {
    "ball": mujoco.mjtGeom.mjGEOM_SPHERE,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
}
PATTERNS = ("plain", "checkered", "tiled")


def _xml(bodies: int, props: int, string: bool) -> str:
    """The model: a room with patterned floor, two lights, free and kinematic bodies of one geom each, and perhaps a
    string from a point in the room to the first free body."""
    walls = "".join(
        f'<geom name="wall{i}" type="plane" size="{ROOM} {ROOM} 0.1" pos="{x * ROOM} {y * ROOM} {ROOM}" '
        f'zaxis="{-x} {-y} 0" material="wall" contype="0" conaffinity="0"/>'
        for i, (x, y) in enumerate(((0, 1), (1, 0), (0, -1), (-1, 0)))
    )
    bob, peg = ('<site name="bob" rgba="0 0 0 0"/>', '<site name="peg" rgba="0 0 0 0"/>') if string else ("", "")
    pool = "".join(
        f'<body name="solid{i}" pos="{3 * i} 0 -50"><freejoint/>'
        '<geom type="sphere" size="0.2" material="solid" priority="1" condim="4" friction="0.6 0.005 0.0005"/>'
        f"{bob if i == 0 else ''}</body>"
        for i in range(bodies)
    )
    pool += "".join(
        f'<body name="prop{i}" mocap="true" pos="{3 * i} 9 -50">'
        '<geom type="sphere" size="0.2" material="solid"/></body>'
        for i in range(props)
    )
    tendon = """<tendon><spatial name="string" limited="true" range="0 100" width="0.012" solreflimit="0.005 1"
      rgba="0.3 0.3 0.3 1"><site site="peg"/><site site="bob"/></spatial></tendon>"""
    return f"""
    <mujoco>
      <option timestep="{STEP}" cone="elliptic" impratio="3"/>
      <visual>
        <global offwidth="{LARGEST}" offheight="{LARGEST}" fovy="40"/>
        <quality shadowsize="256" offsamples="0" numslices="24" numstacks="12"/>
        <headlight ambient="0.40 0.40 0.40" diffuse="0.22 0.22 0.22" specular="0 0 0"/>
        <map znear="0.05" zfar="40" shadowclip="1.6"/>
      </visual>
      <statistic center="0 0 0.5" extent="2.2"/>
      <asset>
        <texture type="skybox" builtin="gradient" rgb1="0.86 0.90 0.94" rgb2="0.97 0.97 0.96" width="32" height="192"/>
        <texture name="plain" type="2d" builtin="flat" rgb1="1 1 1" width="32" height="32"/>
        <texture name="checkered" type="2d" builtin="checker" rgb1="1 1 1" rgb2="0.84 0.84 0.84"
          width="128" height="128"/>
        <texture name="tiled" type="2d" builtin="flat" rgb1="1 1 1" mark="edge"
          markrgb="0.78 0.78 0.78" width="64" height="64"/>
        <material name="plain" texture="plain" texuniform="true" specular="0" shininess="0"/>
        <material name="checkered" texture="checkered" texuniform="true" texrepeat="1 1" specular="0"/>
        <material name="tiled" texture="tiled" texuniform="true" texrepeat="1.2 1.2" specular="0"/>
        <material name="wall" specular="0" shininess="0" emission="0.18"/>
        <material name="solid" specular="0.2" shininess="0.35"/>
      </asset>
      <worldbody>
        <light name="sun" directional="true" pos="0 0 4" dir="0.4 0.5 -1" diffuse="0.42 0.42 0.40"
          ambient="0 0 0" specular="0.3 0.3 0.3"/>
        <light name="fill" directional="true" pos="0 0 4" dir="-0.5 0.4 -0.7" diffuse="0.12 0.12 0.14"
          specular="0 0 0" castshadow="false"/>
        <geom name="floor" type="plane" size="{ROOM} {ROOM} 0.1" material="plain" friction="0.6 0.005 0.0005"/>
        {walls}{pool}{peg}
      </worldbody>
      {tendon if string else ""}
    </mujoco>"""


class Stage:
    """A compiled model with free bodies for solids and kinematic bodies for the parts of props, its data, and a
    renderer for any frame size up to 1024 px.
    """

    def __init__(self, bodies: int, props: int, string: bool) -> None:
        self.model = mujoco.MjModel.from_xml_string(_xml(bodies, props, string))
        self.data = mujoco.MjData(self.model)
        self.bodies, self.props = bodies, props
        self.script = Script(kind="", solids=(), beats=())
        self._context = _context()
        self._renderer = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._renderer)
        self._scene = mujoco.MjvScene(self.model, maxgeom=100)
        self._option = mujoco.MjvOption()
        self._option.flags[mujoco.mjtVisFlag.mjVIS_STATIC] = True
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self._floor = self.model.geom("floor").id
        self._first = self.model.body("solid0").id
        self._geom = np.array([self.model.body_geomadr[self._first + i] for i in range(bodies + props)])
        self._owner = np.full(bodies + props, -1)  # the object that each body belongs to, -1 the stage
        self._members: list[slice] = []  # the bodies of each solid
        self._broken: set[int] = set()

    # -------------------------------------------------------------------------------------------------------- dressing

    def dress(self, script: Script, decor: Decor) -> None:
        """Put the script's solids on the stage, park the other bodies under the floor, and compute the scene."""
        model, data = self.model, self.data
        self.script, self._broken = script, set()
        model.opt.gravity[2] = -script.gravity
        self._decorate(decor, script.heading)
        place = np.cumsum([0, *(solid.parts for solid in script.solids)])
        self._members = [slice(int(a), int(b)) for a, b in zip(place[:-1], place[1:], strict=True)]
        bodies = [(k, solid) for k, solid in enumerate(script.solids) for _ in range(solid.parts)]
        self._owner[:] = -1
        for i in range(self.bodies):
            if i < len(bodies):
                self._owner[i] = bodies[i][0]
                self._clothe(i, bodies[i][1])
            else:
                self._park(i)
        self._furnish()
        if model.ntendon:
            self._hang(script)
        mujoco.mj_setConst(model, data)  # the contact solver scales by inverse weights, which the new masses change
        mujoco.mj_resetData(model, data)
        for solid, members in zip(script.solids, self._members, strict=True):
            for part in range(solid.parts):
                self._place(members.start + part, solid, _turn(script.heading), part)
        self._move_props(0.0)
        mujoco.mj_forward(model, data)

    def _decorate(self, decor: Decor, heading: float) -> None:
        model = self.model
        model.geom_matid[self._floor] = model.material(decor.pattern).id
        model.mat_rgba[model.material(decor.pattern).id, :3] = (0.8 if decor.gloss else 1.0) * np.array(
            TONES[decor.floor]  # a reflection adds light, so a glossy floor starts darker
        )
        model.mat_reflectance[model.material(decor.pattern).id] = 0.2 if decor.gloss else 0.0
        model.mat_specular[model.material("solid").id] = 0.0 if decor.look == "clay" else 0.2
        for i in range(4):
            shade = (1.0, 0.84)[i % 2]  # neighbouring walls differ, so that a turning camera shows at the corners
            model.geom_rgba[model.geom(f"wall{i}").id] = [*(shade * np.array(TONES[decor.wall])), 1.0]
        angle = _turn(heading + decor.light)
        right, away = 0.45, 0.30
        model.light_dir[0] = [
            right * np.cos(angle) - away * np.sin(angle),
            right * np.sin(angle) + away * np.cos(angle),
            -1.0,
        ]
        model.light_dir[0] /= np.linalg.norm(model.light_dir[0])
        model.light_pos[0] = -4.0 * model.light_dir[0]

    def _clothe(self, i: int, solid: Solid) -> None:
        """Shape, size, colour, mass, inertia and contact parameters of body i."""
        model, g, b = self.model, self._geom[i], self._first + i
        if solid.parts > 1:
            solid = replace(solid, size=_piece(solid))
        self._shape(g, solid.shape, solid.size)
        model.geom_rgba[g] = [*COLOURS[solid.colour], 1.0]
        model.geom_contype[g], model.geom_conaffinity[g] = int(not solid.ghost), 1
        model.geom_friction[g] = [solid.friction, 0.005, solid.rolling]
        model.geom_condim[g] = 6 if solid.rolling else 4
        damping = np.interp(solid.bounce, _RESTITUTION, _DAMPING)
        model.geom_solref[g] = [-STIFFNESS, -damping]
        mass, inertia = _inertia(solid)
        model.body_mass[b], model.body_inertia[b] = mass, inertia
        model.body_gravcomp[b] = 0.0

    def _shape(self, g: int | np.integer, shape: str, size: tuple[float, ...]) -> None:
        """Type, size and bounds of geom g."""
        model = self.model
        model.geom_type[g] = _TYPES[shape]
        model.geom_size[g] = [*size, *(0.0,) * (3 - len(size))]
        half = _half_extents(shape, size)
        model.geom_rbound[g] = np.linalg.norm(half) if shape != "ball" else size[0]
        model.geom_aabb[g] = [0, 0, 0, *half]

    def _place(self, i: int, solid: Solid, turn: float, part: int) -> None:
        """Initial position and velocity of body i, turned from view axes to world axes by `turn` radians."""
        rotation = _yaw(turn)
        quaternion, yaw = np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(yaw, np.array([0.0, 0.0, 1.0]), turn + solid.turn)
        tilt = np.array([1.0, 0.0, 0.0, 0.0])
        if solid.lying:
            mujoco.mju_axisAngle2Quat(tilt, np.array([0.0, 1.0, 0.0]), np.pi / 2)
        mujoco.mju_mulQuat(quaternion, yaw, tilt)
        local = np.zeros(3)
        inverse = quaternion * [1, -1, -1, -1]
        mujoco.mju_rotVecQuat(local, rotation @ np.array(solid.spin), inverse)  # MuJoCo spins free bodies in body axes
        position = np.array(solid.position)
        if solid.parts > 1:
            position = position + _yaw(solid.turn) @ (_corner(part) * (np.array(solid.size) - _piece(solid)))
        self.data.qpos[7 * i : 7 * i + 7] = [*(rotation @ position), *quaternion]
        self.data.qvel[6 * i : 6 * i + 6] = [*(rotation @ np.array(solid.velocity)), *local]

    def _hang(self, script: Script) -> None:
        """Tie the first solid to its peg with a string as long as they are apart, or let the string hang loose."""
        model = self.model
        peg = script.solids[0].string
        self._option.flags[mujoco.mjtVisFlag.mjVIS_TENDON] = peg is not None
        model.tendon_range[0, 1] = 100.0
        if peg is not None:
            model.site_pos[model.site("peg").id] = _yaw(_turn(script.heading)) @ np.array(peg)
            model.tendon_range[0, 1] = np.linalg.norm(np.subtract(peg, script.solids[0].position))

    def _park(self, i: int) -> None:
        """An unused body floats where the model put it, under the floor, unseen and untouched."""
        model, g = self.model, self._geom[i]
        model.geom_rgba[g, 3] = 0.0
        model.geom_contype[g] = model.geom_conaffinity[g] = 0
        model.body_gravcomp[self._first + i] = 1.0

    def _furnish(self) -> None:
        """Dress the kinematic bodies as the parts of the script's props."""
        model, i = self.model, self.bodies
        named = len(self.script.solids)
        for prop in self.script.props:
            for part in prop.parts:
                g = self._geom[i]
                self._shape(g, part.shape, part.size)
                model.geom_rgba[g] = [*(part.colour or COLOURS[prop.colour]), 1.0]
                model.geom_contype[g] = model.geom_conaffinity[g] = int(prop.collides)
                self._owner[i] = named if prop.colour else -1
                i += 1
            named += bool(prop.colour)
        for g in self._geom[i:]:
            model.geom_rgba[g, 3] = 0.0
            model.geom_contype[g] = model.geom_conaffinity[g] = 0

    def add(self, prop: Prop) -> None:
        """One more prop on a stage already dressed, such as paint whose place the simulation has decided."""
        self.script = replace(self.script, props=(*self.script.props, prop))
        self._furnish()

    def _move_props(self, time: float) -> None:
        """Put every part of every prop where it is at this time, and hide those not there."""
        if not self.script.props:
            return
        turn, i = _turn(self.script.heading), 0
        yaw = np.array([np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)])
        for prop in self.script.props:
            for part, pose in zip(prop.parts, prop.motion(time), strict=True):
                self.data.mocap_pos[i] = _yaw(turn) @ pose[:3]
                mujoco.mju_mulQuat(self.data.mocap_quat[i], yaw, pose[3:])
                self.model.geom_rgba[self._geom[self.bodies + i], 3] = float(part.since <= time < part.until)
                i += 1

    # ------------------------------------------------------------------------------------------------------ simulation

    def play(self, frames: int, rate: float) -> tuple[Trace, Float[np.ndarray, "t q"]]:
        """Simulate `frames` frames of the dressed script. Returns the trace and the states to render."""
        model, data = self.model, self.data
        looks = max(1, round(1.0 / (rate * STEP * STRIDE)))
        model.opt.timestep = 1.0 / (rate * looks * STRIDE)
        states, velocity, poses, times = [data.qpos.copy()], [self._velocity()], [self._poses()], [0.0]
        spread = [self._spread()]
        contacts: list[tuple[int, int, int]] = []
        touch: dict[tuple[int, int], float] = {}
        self._look(0, touch, contacts)
        for frame in range(1, frames):
            seen: list[tuple[int, int, int]] = []
            for _ in range(looks):
                mujoco.mj_step(model, data, STRIDE)
                seen.clear()
                self._look(frame, touch, seen)
                self._break(touch)
                self._move_props(data.time)
                poses.append(self._poses())
                spread.append(self._spread())
                times.append(data.time)
            contacts += seen
            states.append(data.qpos.copy())
            velocity.append(self._velocity())
        path = np.stack(poses)
        trace = Trace(
            times=np.array(times),
            path=path[..., :3],
            pose=path[::looks].astype(np.float32),
            velocity=np.stack(velocity).astype(np.float32),
            contacts=tuple(contacts),
            touch=touch,
            spread=np.stack(spread),
        )
        return trace, np.stack(states)

    def _poses(self) -> Float[np.ndarray, "k 7"]:
        """Position and quaternion of every object; a solid in parts is where their middle is."""
        qpos = self.data.qpos.reshape(self.bodies, 7)
        rows = [np.concatenate([qpos[m, :3].mean(0), qpos[m.start, 3:]]) for m in self._members]
        turn = _turn(self.script.heading)
        yaw, quaternion = np.array([np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)]), np.zeros(4)
        for prop in self.script.props:
            if prop.colour:
                root = prop.motion(self.data.time)[0]
                mujoco.mju_mulQuat(quaternion, yaw, root[3:])
                rows.append(np.concatenate([_yaw(turn) @ root[:3], quaternion]))
        return np.stack(rows)

    def _velocity(self) -> Float[np.ndarray, "k 6"]:
        """Linear and angular velocity of every object in world axes; puppets' by central differences."""
        qvel, rows, world = self.data.qvel.reshape(self.bodies, 6), [], np.zeros(3)
        for m in self._members:
            mujoco.mju_rotVecQuat(world, qvel[m.start, 3:], self.data.qpos[7 * m.start + 3 : 7 * m.start + 7])
            rows.append(np.concatenate([qvel[m, :3].mean(0), world]))
        for prop in self.script.props:
            if prop.colour:
                later, sooner = (prop.motion(self.data.time + d)[0, :3] for d in (1e-3, -1e-3))
                rows.append(np.concatenate([_yaw(_turn(self.script.heading)) @ (later - sooner) / 2e-3, np.zeros(3)]))
        return np.stack(rows)

    def _spread(self) -> Float[np.ndarray, " k"]:
        """Mean distance of each solid's parts from their middle, in metres."""
        qpos = self.data.qpos.reshape(self.bodies, 7)
        parts = [qpos[m, :3] for m in self._members]
        return np.array([np.linalg.norm(p - p.mean(0), axis=-1).mean() if len(p) > 1 else 0.0 for p in parts])

    def _break(self, touch: dict[tuple[int, int], float]) -> None:
        """A solid in parts flies apart once something strikes it, or it strikes something."""
        for k, (solid, members) in enumerate(zip(self.script.solids, self._members, strict=True)):
            if solid.parts > 1 and k not in self._broken and any(k in pair and t > 0.02 for pair, t in touch.items()):
                self._broken.add(k)
                qpos, qvel = self.data.qpos.reshape(self.bodies, 7), self.data.qvel.reshape(self.bodies, 6)
                outward = qpos[members, :3] - qpos[members, :3].mean(0)
                speed = np.where(outward[:, 2:] > 0, 1.6 * BURST, BURST)  # upper parts must not stay on the lower ones
                qvel[members, :2] += speed * outward[:, :2] / np.linalg.norm(outward[:, :2], axis=1, keepdims=True)

    def _look(self, frame: int, touch: dict[tuple[int, int], float], seen: list[tuple[int, int, int]]) -> None:
        """Note who touches whom now: solids by number, the stage as -1."""
        if not self.data.ncon:
            return
        bodies = self.model.geom_bodyid[self.data.contact.geom] - self._first
        owners = np.where(bodies >= 0, self._owner[bodies], -1).tolist()
        for a, b in owners:
            a, b = (b, a) if a < 0 or (b >= 0 and b < a) else (a, b)
            if a == b or (frame, a, b) in seen:  # two parts of one solid, or one more point of a known contact
                continue
            touch.setdefault((a, b), self.data.time)
            seen.append((frame, a, b))

    # ------------------------------------------------------------------------------------------------------- rendering

    def aim(self, azimuth: float, elevation: float, distance: float, target: np.ndarray, fovy: float) -> None:
        """Point the camera; angles in degrees as in `records.Shot`."""
        self._camera.azimuth, self._camera.elevation, self._camera.distance = azimuth, elevation, distance
        self._camera.lookat[:] = target
        self.model.vis.global_.fovy = fovy

    def reserve(self, height: int, width: int) -> None:
        """Make the off-screen buffer this large (pixels): a larger one costs time to clear."""
        if (self._renderer.offHeight, self._renderer.offWidth) != (height, width):
            mujoco.mjr_resizeOffscreen(width, height, self._renderer)
        # The process's other stage may have been photographed since, into a buffer of its own.
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._renderer)

    def pose(self, qpos: Float[np.ndarray, " q"], time: float) -> None:
        """Set the recorded state of this time, ready to be rendered."""
        self.data.qpos[:] = qpos
        self._move_props(time)
        mujoco.mj_kinematics(self.model, self.data)
        if self.model.ntendon:  # where the string runs
            mujoco.mj_comPos(self.model, self.data)
            mujoco.mj_tendon(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def photograph(self, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """The current state through the current camera."""
        self._update()
        return self._shoot(height, width)

    def segment(self, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
        """Mask of the current scene (call after `photograph`): k + 1 where object k is seen, else 0."""
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        image = self._shoot(height, width)
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        table = np.zeros(256, np.uint8)
        owner = {int(g): int(k) for g, k in zip(self._geom, self._owner, strict=True)}
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and 0 <= geom.segid < 255:
                table[geom.segid + 1] = owner.get(geom.objid, -1) + 1
        return table[image[..., 0]]  # identities below 256 live in the red channel

    def outline(self, height: int, width: int, k: int) -> UInt8[np.ndarray, "h w"]:
        """Mask of object k alone, as if nothing stood before it."""
        alpha = self.model.geom_rgba[:, 3].copy()
        others = self._geom[self._owner != k]
        self.model.geom_rgba[others, 3] = 0.0
        self._update()
        mask = self.segment(height, width)
        self.model.geom_rgba[:, 3] = alpha
        return mask

    def _update(self) -> None:
        mujoco.mjv_updateScene(
            self.model, self.data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        # Walls cast no shadow, whose rough edge would cross the floor; nor does a floor with props, which would speckle
        # itself far away. The bare floor of levels 1 and 2 still does (a few pixels): their seeds keep their bytes.
        for geom in self._scene.geoms[0 if self.props else 1 : 5]:  # the model begins with the floor and four walls
            geom.category = mujoco.mjtCatBit.mjCAT_DECOR

    def _shoot(self, height: int, width: int) -> np.ndarray:
        window = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(window, self._scene, self._renderer)
        image = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, window, self._renderer)
        return image[::-1]


@functools.cache
def _context() -> Any:
    """The process's one OpenGL context, current from here on."""
    context = mujoco.GLContext(LARGEST, LARGEST)
    context.make_current()
    atexit.register(context.free)  # while OpenGL can still be called
    return context


@functools.cache
def stage(bodies: int, props: int = 0, string: bool = False) -> Stage:
    """The process's stage with this many free bodies and parts of props, and perhaps a string."""
    return Stage(bodies, props, string)


def _turn(heading: float) -> float:
    """Angle in radians from the view frame of a heading (degrees) to the world."""
    return float(np.radians(heading - 90.0))


def _yaw(angle: float) -> Float[np.ndarray, "3 3"]:
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def _corner(part: int) -> Float[np.ndarray, " 3"]:
    """The octant of one of eight parts, as signs."""
    return np.array([1.0 - 2.0 * (part >> bit & 1) for bit in range(3)])


def _piece(solid: Solid) -> tuple[float, ...]:
    """Half sizes of one of the eight parts of a box, with a hair between parts."""
    return tuple(s / 2 - 0.001 for s in solid.size)


def _half_extents(shape: str, size: tuple[float, ...]) -> Float[np.ndarray, " 3"]:
    if shape == "ball":
        return np.full(3, size[0])
    if shape == "box":
        return np.array(size)
    return np.array([size[0], size[0], size[1] + (size[0] if shape == "capsule" else 0.0)])


def _inertia(solid: Solid) -> tuple[float, Float[np.ndarray, " 3"]]:
    """Mass (kg) and principal moments (kg m2) of a homogeneous solid."""
    if solid.shape == "ball":
        (r,) = solid.size
        mass = solid.density * 4 / 3 * np.pi * r**3
        return mass, np.full(3, 0.4 * mass * r * r)
    if solid.shape == "box":
        x, y, z = solid.size
        mass = solid.density * 8 * x * y * z
        return mass, mass / 3 * np.array([y * y + z * z, x * x + z * z, x * x + y * y])
    r, h = solid.size
    mass = solid.density * 2 * np.pi * r * r * h
    side = mass * (3 * r * r + 4 * h * h) / 12
    return mass, np.array([side, side, mass * r * r / 2])
